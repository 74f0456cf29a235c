"""Hanging up through Twilio's API, against a small server that answers like it."""

import base64
import socket

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from telephony.carriers.twilio import TwilioCarrier
from telephony.errors import CarrierUnavailable

CALL = "CA" + "1" * 32


@pytest.fixture
async def api(run_app, monkeypatch):
    """Answers with the next of ``statuses``; keeps what it was asked."""
    app = FastAPI()
    app.state.statuses, app.state.asked = [], []

    @app.post("/2010-04-01/Accounts/{account}/Calls/{call}.json")
    async def update(account: str, call: str, request: Request) -> JSONResponse:
        user = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        app.state.asked.append((user, account, call, dict(await request.form())))
        return JSONResponse({"sid": call, "message": "m", "code": 20404}, app.state.statuses.pop(0))

    url = run_app(app)
    monkeypatch.setattr("twilio.base.domain.Domain.absolute_url", lambda _, uri: f"{url}/{uri.strip('/')}")
    return app.state


@pytest.mark.parametrize(("statuses", "ended"), [([200], True), ([404], False), ([401, 200], True)])
async def test_calls_are_ended_or_were_gone_already(api, statuses, ended):
    api.statuses = list(statuses)
    carrier = TwilioCarrier("https://a.example", ["new", "old"], "AC1")
    assert await carrier.hang_up(CALL) is ended
    users = ["AC1:new", "AC1:old"][: len(statuses)]
    assert api.asked == [(user, "AC1", CALL, {"Status": "completed"}) for user in users]


@pytest.mark.parametrize(("statuses", "why"), [([500], "HTTP 500"), ([401, 401], "account SID and auth token")])
async def test_a_refusal_is_one_sentence(api, statuses, why):
    api.statuses = list(statuses)
    with pytest.raises(CarrierUnavailable, match=why):
        await TwilioCarrier("https://a.example", ["new", "old"], "AC1").hang_up(CALL)


async def test_an_api_that_is_not_there_is_one_sentence(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr("twilio.base.domain.Domain.absolute_url", lambda _, uri: f"http://127.0.0.1:{port}{uri}")
    with pytest.raises(CarrierUnavailable, match="could not be reached"):
        await TwilioCarrier("https://a.example", ["t"], "AC1").hang_up(CALL)
