"""Ending, moving and making calls through Twilio's API, against a small server that answers like it."""

import base64
import socket

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from telephony.carriers.twilio import TwilioCarrier, rest
from telephony.errors import CarrierSilent, CarrierUnavailable

CALL = "CA" + "1" * 32
MESSAGE = "RE" + "1" * 32


@pytest.fixture
async def api(run_app):
    """Answers with the next of ``statuses``; keeps what it was asked. ``carrier`` asks it."""
    app = FastAPI()
    app.state.statuses, app.state.asked = [], []

    async def take(account: str, call: str, request: Request) -> JSONResponse:
        user = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        app.state.asked.append((user, account, call, dict(await request.form())))
        return JSONResponse({"sid": call or "CA9", "message": "m", "code": 20404}, app.state.statuses.pop(0))

    @app.post("/2010-04-01/Accounts/{account}/Calls/{call}.json")
    async def update(account: str, call: str, request: Request) -> JSONResponse:
        return await take(account, call, request)

    @app.post("/2010-04-01/Accounts/{account}/Calls.json")
    async def create(account: str, request: Request) -> JSONResponse:
        return await take(account, "", request)

    @app.delete("/2010-04-01/Accounts/{account}/Recordings/{recording}.json")
    async def remove(account: str, recording: str, request: Request) -> JSONResponse:
        return await take(account, recording, request)

    app.state.carrier = TwilioCarrier("https://a.example", ["new", "old"], "AC1", run_app(app))
    return app.state


@pytest.mark.parametrize(("statuses", "ended"), [([200], True), ([404], False), ([401, 200], True)])
async def test_calls_are_ended_or_were_gone_already(api, statuses, ended):
    api.statuses = list(statuses)
    assert await api.carrier.hang_up(CALL) is ended
    users = ["AC1:new", "AC1:old"][: len(statuses)]
    assert api.asked == [(user, "AC1", CALL, {"Status": "completed"}) for user in users]


@pytest.mark.parametrize(("statuses", "removed"), [([204], True), ([404], False), ([401, 204], True)])
async def test_messages_are_removed_or_were_gone_already(api, statuses, removed):
    api.statuses = list(statuses)
    address = f"https://api.elsewhere.example/2010-04-01/Accounts/AC9/Recordings/{MESSAGE}"
    assert await api.carrier.remove_message(address) is removed
    assert api.asked[-1][1:] == ("AC1", MESSAGE, {})
    assert await api.carrier.remove_message("https://api.twilio.com/r") is False


async def test_a_live_call_is_taken_to_the_action(api):
    api.statuses = [200, 404]
    assert await api.carrier.redirect(CALL) is True
    assert await api.carrier.redirect(CALL) is False
    assert api.asked[0][3] == {"Url": "https://a.example/twilio/action?after=stream&part=0", "Method": "POST"}


async def test_a_human_is_called_about_a_call(api):
    api.statuses = [401, 201]
    made = await api.carrier.call_human("+15550111", "+15550100", about_call=CALL, part=2, timeout_s=25)
    assert made == "CA9"
    assert [user for user, *_ in api.asked] == ["AC1:new", "AC1:old"]
    assert api.asked[1][3] == {
        "To": "+15550111",
        "From": "+15550100",
        "Url": f"https://a.example/twilio/action?after=brief&part=2&call={CALL}",
        "Method": "POST",
        "Timeout": "25",
        "StatusCallback": f"https://a.example/twilio/action?after=leg&part=2&call={CALL}",
        "StatusCallbackMethod": "POST",
        "StatusCallbackEvent": "completed",
    }


async def test_a_human_who_cannot_be_called_is_one_sentence(api):
    api.statuses = [404]
    with pytest.raises(CarrierUnavailable, match="HTTP 404"):
        await api.carrier.call_human("+15550111", "+15550100", about_call=CALL, part=1, timeout_s=25)


@pytest.mark.parametrize(("statuses", "why"), [([400], "HTTP 400"), ([401, 401], "account SID and auth token")])
async def test_a_refusal_is_one_sentence(api, statuses, why):
    api.statuses = list(statuses)
    with pytest.raises(CarrierUnavailable, match=why):
        await api.carrier.hang_up(CALL)


async def test_an_api_that_is_not_there_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(CarrierUnavailable, match="could not be reached"):
        await TwilioCarrier("https://a.example", ["t"], "AC1", f"http://127.0.0.1:{port}").hang_up(CALL)


async def test_an_api_that_failed_may_have_done_it(api):
    api.statuses = [503]
    with pytest.raises(CarrierSilent, match=r"did not say whether .* \(HTTP 503\)"):
        await api.carrier.redirect(CALL)


async def test_an_api_that_never_answers_is_given_up_and_may_have_done_it(monkeypatch):
    monkeypatch.setattr(rest, "_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(CarrierSilent, match="ReadTimeout"):
            await TwilioCarrier("https://a.example", ["t"], "AC1", f"http://127.0.0.1:{port}").hang_up(CALL)


async def test_without_credentials_nothing_is_asked(api):
    carrier = TwilioCarrier("https://a.example", ["t"])
    assert (await carrier.hang_up(CALL), await carrier.redirect(CALL)) == (False, False)
    assert api.asked == []
