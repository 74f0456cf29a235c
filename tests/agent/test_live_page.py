"""A live call's page over HTTP: words as they are spoken, and buttons that act and refuse clearly."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from agent import live_desk
from agent.duplex import AgentFrame, HeardWord
from crm.call import Call, CallFilter, Handoff, NewCall
from personas.audit import AuditFilter, AuditLog
from telephony.carriers.twilio.carrier import TwilioCarrier
from telephony.errors import CarrierSilent
from telephony.simulator import HangUp, Human, Pause, Phone, PhoneCompany, ScriptedCaller
from tests.agent.conftest import Open
from tests.agent.exchange import NUMBER, SILENCE, TOKEN, TONE, Exchange, ScriptedEngine
from tests.agent.line.phone import Line

HUMAN = "+15550177"


def talk(index: int) -> AgentFrame:
    """The agent greets, and hears one word."""
    said = {0: " Hello", 1: " there."}.get(index, "")
    heard = (HeardWord("hi", 0, 80),) if index == 1 else ()
    return AgentFrame(index, TONE if said else SILENCE, text=said, heard=heard)


@asynccontextmanager
async def console(where: Exchange) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that has signed in."""
    async with httpx.AsyncClient(base_url=where.url, trust_env=False, headers={"accept": "text/html"}) as http:
        form = {"name": "admin", "password": "correct horse", "csrf_token": token_of((await http.get("/login")).text)}
        assert (await http.post("/login", data=form)).status_code == 303
        yield http


def token_of(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]


async def noted(where: Exchange) -> list[tuple[str, str, str]]:
    """What the console's user did, on what, and how, oldest first."""
    entries = (await AuditLog(where.state.database).entries(AuditFilter(actor="admin"))).entries
    return [(each.action, each.subject.id, each.detail) for each in reversed(entries)]


async def id_of(where: Exchange, carrier_call_id: str) -> str:
    return (await where.state.calls.call_by_carrier_id("twilio", carrier_call_id)).id


async def test_words_come_as_they_are_spoken_and_from_the_beginning(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(talk))
    lines: list[dict[str, object]] = []
    async with console(where) as http, where.call() as stream:
        await stream.frames(2)
        await stream.receive("mark")
        call_id = await id_of(where, stream.call_id)
        page = (await http.get(f"/calls/{call_id}")).text
        assert f'data-live="/calls/{call_id}/live"' in page
        async with asyncio.timeout(5), http.stream("GET", f"/calls/{call_id}/live") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    lines.append(json.loads(line[6:]))
                if len(lines) == 3:
                    await stream.send("dtmf", dtmf={"digit": "0"})
                if len(lines) == 4:
                    await stream.send("stop", stop={})
                if line == "event: over":
                    break
        await where.row(stream.call_id)
        assert (await http.get(f"/calls/{call_id}/live")).status_code == 204
    assert {(line["side"], line["text"]) for line in lines[:3]} == {
        ("agent", " Hello"),
        ("agent", " there."),
        ("caller", "hi"),
    }
    assert lines[3]["text"] == "handoff impossible dtmf"


async def test_an_operator_ends_a_call_with_their_name_and_a_token(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(talk))
    async with console(where) as http, where.call() as stream:
        await stream.frames(2)
        await stream.receive("mark")
        call_id = await id_of(where, stream.call_id)
        assert (await http.post(f"/calls/{call_id}/hang-up")).status_code == 403
        token = token_of((await http.get(f"/calls/{call_id}")).text)
        done = await http.post(f"/calls/{call_id}/hang-up", data={"csrf_token": token})
        assert (done.status_code, done.headers["location"]) == (303, f"/calls/{call_id}")
        await stream.closed()
        row = await where.row(stream.call_id)
        assert (row.outcome, row.reason) == ("agent_hung_up", "admin ended the call from its page.")
        late = await http.post(f"/calls/{call_id}/hang-up", data={"csrf_token": token})
        assert (late.status_code, "over already" in late.text) == (409, True)
        page = (await http.get(f"/calls/{call_id}")).text
        assert "Ended from its page by" in page
        opened, hung_up = ("call_opened", call_id, ""), ("call_hung_up", call_id, "")
        assert await noted(where) == [("signed_in", "", "from 127.0.0.1"), opened, hung_up]


async def test_an_operator_hands_a_call_over_to_a_typed_number(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(talk))
    async with console(where) as http, where.call() as stream:
        await stream.frames(2)
        await stream.receive("mark")
        path = f"/calls/{await id_of(where, stream.call_id)}"
        form = {"csrf_token": token_of((await http.get(path)).text), "mode": "warm"}

        async def refused(**fields: str) -> tuple[int, str]:
            answer = await http.post(f"{path}/hand-off", data=form | fields)
            return answer.status_code, answer.text

        status, text = await refused(to="five five five")
        assert (status, "country code" in text) == (422, True)
        assert 'value="five five five"' in text
        assert re.search(r'<option value="warm" selected>', text)
        status, text = await refused(to="", mode="thrown")
        assert (status, "cold or warm or queue" in text) == (400, True)
        status, text = await refused(to="")
        assert (status, "has no human" in text) == (422, True)
        done = await http.post(f"{path}/hand-off", data=form | {"to": "+1 (555) 0177"})
        assert done.status_code == 303
        tried = [detail for action, _, detail in await noted(where) if action == "call_handed_over"]
        assert tried == [f"Not done: {live_desk.NOBODY}", "warm"]
        line = Line(stream)
        assert await line.live()
        assert 20 < sum(line.loud) < 50  # one moment please, and no word of what could not be done
    assert (await where.row(stream.call_id)).handoff == Handoff("warm", HUMAN, "operator")


async def test_a_call_of_another_process_says_what_it_cannot_show(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    calls = where.state.calls
    opened = await calls.open_call(NewCall("twilio", "CA9", "AC1", "+15550199", NUMBER, "acme-help"))
    call_id = (await calls.claim("CA9", "AC1", opened.nonce)).id
    async with console(where) as http:
        page = (await http.get(f"/calls/{call_id}")).text
        assert "carried by another process" in page
        assert "auth token are not set" in page
        token = token_of(page)
        assert (await http.get(f"/calls/{call_id}/live")).status_code == 204
        refused = await http.post(f"/calls/{call_id}/hang-up", data={"csrf_token": token})
        assert refused.status_code == 409
        assert "PARLEY_TWILIO_ACCOUNT_SID" in refused.text
        assert (await calls.call(call_id)).asked is None
    await calls.finish(call_id, status="ended", outcome="caller_hung_up")


async def live_row(where: Exchange) -> Call:
    """The call in progress, once there is one."""
    async with asyncio.timeout(10):
        while True:
            if found := (await where.state.calls.calls(where=CallFilter(status="live"))).calls:
                return found[0].call
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("button", ["hang-up", "hand-off"])
async def test_a_call_of_another_process_is_ended_through_the_carrier(open_exchange: Open, button: str) -> None:
    company = PhoneCompany(TOKEN)
    async with company.serving() as api_url:
        account = {"twilio_account_sid": "AC" + "0" * 32, "twilio_api_url": api_url}
        carrying = await open_exchange(ScriptedEngine(talk), **account)
        other = await open_exchange(ScriptedEngine(), **account)
        phone = Phone(carrying.url, TOKEN, company=company, human=Human("answers"), hold_speed=20)
        async with console(other) as http, asyncio.TaskGroup() as group:
            calling = group.create_task(phone.call(ScriptedCaller((Pause(20_000), HangUp())), to_number=NUMBER))
            call = await live_row(other)
            page = (await http.get(f"/calls/{call.id}")).text
            assert "carried by another process" in page
            form = {"csrf_token": token_of(page), "to": HUMAN, "mode": "cold"}
            assert (await http.post(f"/calls/{call.id}/{button}", data=form)).status_code == 303
            async with asyncio.timeout(15):
                result = await calling
    row = await other.row(call.carrier_call_id)
    assert not result.errors
    handed_off = button == "hand-off"
    assert row.outcome == ("transferred" if handed_off else "agent_hung_up")
    assert row.handoff == (Handoff("cold", HUMAN, "operator") if handed_off else None)
    assert ("Dial" in result.steps) == handed_off
    assert "admin" in [event.detail for event in await other.state.calls.events(call.id)]


@pytest.mark.parametrize(("button", "status"), [("hang-up", 409), ("hand-off", 422)])
async def test_what_the_carrier_refuses_is_said_and_forgotten(open_exchange: Open, button: str, status: int) -> None:
    """A stream that is lost later is lost, not what the operator once wanted."""
    carrying = await open_exchange(ScriptedEngine(talk))
    nobody = {"twilio_account_sid": "AC" + "0" * 32, "twilio_api_url": "http://127.0.0.1:9"}
    other = await open_exchange(ScriptedEngine(), **nobody)
    async with console(other) as http, carrying.call() as stream:
        await stream.frames(2)
        await stream.receive("mark")
        call_id = await id_of(other, stream.call_id)
        form = {"csrf_token": token_of((await http.get(f"/calls/{call_id}")).text), "to": HUMAN, "mode": "cold"}
        refused = await http.post(f"/calls/{call_id}/{button}", data=form)
        assert (refused.status_code, "could not be reached" in refused.text) == (status, True)
        assert (await other.state.calls.call(call_id)).asked is None
        stream.socket.transport.abort()
        row = await carrying.row(stream.call_id)
        assert (row.outcome, row.handoff) == ("stream_failed", None)
        page = (await http.get(f"/calls/{call_id}")).text
    assert "The carrier did not do it" in page


async def test_what_the_carrier_did_without_an_answer_is_done(
    open_exchange: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    company, redirect = PhoneCompany(TOKEN), TwilioCarrier.redirect

    async def unanswered(carrier: TwilioCarrier, call_id: str, *, part: int = 0) -> bool:
        await redirect(carrier, call_id, part=part)
        raise CarrierSilent("Nobody knows.")

    monkeypatch.setattr(TwilioCarrier, "redirect", unanswered)
    async with company.serving() as api_url:
        account = {"twilio_account_sid": "AC" + "0" * 32, "twilio_api_url": api_url}
        carrying = await open_exchange(ScriptedEngine(talk), **account)
        other = await open_exchange(ScriptedEngine(), **account)
        phone = Phone(carrying.url, TOKEN, company=company)
        async with console(other) as http, asyncio.TaskGroup() as group:
            calling = group.create_task(phone.call(ScriptedCaller((Pause(20_000), HangUp())), to_number=NUMBER))
            call = await live_row(other)
            form = {"csrf_token": token_of((await http.get(f"/calls/{call.id}")).text)}
            assert (await http.post(f"/calls/{call.id}/hang-up", data=form)).status_code == 303
            async with asyncio.timeout(15):
                await calling
    assert (await other.row(call.carrier_call_id)).outcome == "agent_hung_up"


async def test_what_the_carrier_did_not_answer_is_said_and_forgotten(
    open_exchange: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unanswered(_carrier: TwilioCarrier, _call_id: str, *, part: int = 0) -> bool:
        raise CarrierSilent("Nobody knows.")

    monkeypatch.setattr(TwilioCarrier, "redirect", unanswered)
    monkeypatch.setattr(live_desk, "_DONE_WITHIN_S", 0.05)
    carrying = await open_exchange(ScriptedEngine(talk))
    other = await open_exchange(ScriptedEngine(), twilio_account_sid="AC" + "0" * 32)
    async with console(other) as http, carrying.call() as stream:
        await stream.frames(2)
        call_id = await id_of(other, stream.call_id)
        form = {"csrf_token": token_of((await http.get(f"/calls/{call_id}")).text)}
        unknown = await http.post(f"/calls/{call_id}/hang-up", data=form)
        assert (unknown.status_code, "Nobody knows; so far the call goes on." in unknown.text) == (409, True)
        assert (await other.state.calls.call(call_id)).asked is None
        assert "The carrier did not answer" in (await http.get(f"/calls/{call_id}")).text


async def test_the_list_shows_live_calls_only(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    async with console(where) as http:
        async with where.call() as stream:
            await stream.frames(1)
            await stream.receive("mark")
            call_id = await id_of(where, stream.call_id)
            assert call_id in (await http.get("/calls?status=live")).text
            await stream.send("stop", stop={})
            await stream.closed()
        await where.row(stream.call_id)
        assert call_id not in (await http.get("/calls?status=live")).text
