"""Test calls from the console, over real sockets: the same call as a caller's, marked, and never at callers' cost."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.duplex import AgentFrame, HeardWord
from crm.call import Call, Handoff
from telephony.audio import g711
from tests.agent.conftest import Open
from tests.agent.exchange import NUMBER, SILENCE, TONE, Exchange, ScriptedEngine, card
from tests.agent.test_live_page import console, token_of

TALK = "/personas/acme-help/talk"


def talk(index: int) -> AgentFrame:
    """The agent greets, and hears one word."""
    said = {0: " Hello", 1: " there."}.get(index, "")
    heard = (HeardWord("hi", 0, 80),) if index == 1 else ()
    return AgentFrame(index, TONE if said else SILENCE, text=said, heard=heard)


@dataclass
class Page:
    """What talk.js does, without a browser."""

    where: Exchange
    http: httpx.AsyncClient
    dialled: dict[str, Any] = field(default_factory=dict)

    async def dial(self, version: int = 1) -> httpx.Response:
        token = token_of((await self.http.get(f"{TALK}?version={version}")).text)
        answer = await self.http.post(TALK, data={"csrf_token": token, "version": str(version)})
        if answer.status_code == 200:
            self.dialled = answer.json()
        return answer

    async def send(self, form: str, **headers: str) -> ElementTree.Element:
        """Send one of the signed forms; return the document that answers it."""
        signed = self.dialled[form]
        headers = {"origin": self.where.url, self.dialled["header"]: signed["signature"]} | headers
        answer = await self.http.post(signed["path"], data=signed["form"], headers=headers)
        answer.raise_for_status()
        return ElementTree.fromstring(answer.text)

    async def call(self, version: int = 1) -> ElementTree.Element:
        assert (await self.dial(version)).status_code == 200
        return await self.send("begin")

    @asynccontextmanager
    async def stream(self, document: ElementTree.Element) -> AsyncIterator["Stream"]:
        parameters = {each.attrib["name"]: each.attrib["value"] for each in document.iter("Parameter")}
        assert parameters, ElementTree.tostring(document)
        async with self.socket() as socket:
            stream = Stream(socket)
            dialled = self.dialled
            await stream.send("start", call=dialled["call_id"], account=dialled["account"], parameters=parameters)
            yield stream

    def socket(self, **headers: str) -> connect:
        given = {"origin": self.where.url} | headers
        address = "ws" + self.where.url.removeprefix("http") + self.dialled["media"]
        return connect(address, additional_headers=given, proxy=None)

    async def row(self) -> Call:
        async with asyncio.timeout(5):
            while True:
                row = await self.where.state.calls.call_by_carrier_id("browser", self.dialled["call_id"])
                if row and row.ended_at:
                    return row
                await asyncio.sleep(0.02)


@dataclass
class Stream:
    socket: ClientConnection
    packets: int = 0
    came: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, event: str, **parts: object) -> None:
        await self.socket.send(json.dumps({"event": event} | parts))

    async def say(self, pcm: np.ndarray) -> None:
        for packet in pcm.reshape(-1, 160):
            await self.socket.send(self.packets.to_bytes(4, "big") + g711.encode(packet))
            self.packets += 1

    async def until(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The first messages of a kind; others are kept."""
        async with asyncio.timeout(5):
            while len(found := [each for each in self.came if each["event"] == event]) < count:
                self.came.append(json.loads(await self.socket.recv()))
        return found[:count]


@pytest.fixture
def opened(open_exchange: Open):
    """``async with opened(engine, …) as page``: a server, and a page of who is signed in to it."""

    @asynccontextmanager
    async def open_page(engine: ScriptedEngine | None = None, **settings: object) -> AsyncIterator[Page]:
        where = await open_exchange(engine or ScriptedEngine(talk), **settings)
        async with console(where) as http:
            yield Page(where, http)

    return open_page


async def draft(page: Page, **changes: object) -> int:
    """Save a draft of the persona; return its number."""
    saved = await page.where.state.personas.save_draft(card().model_copy(update={"title": "New", **changes}))
    return saved.number


async def test_a_test_call_is_a_call_like_any_other_but_marked(opened) -> None:
    engine = ScriptedEngine(talk)
    async with opened(engine) as page:
        number = await draft(page)
        async with page.stream(await page.call(number)) as stream:
            await stream.say(np.full(640 * 3, 8_000, np.int16) * np.tile([1, -1], 960).astype(np.int16))
            told = await stream.until("told", 4)
            (mark,) = await stream.until("mark")
            await stream.send("mark", name=mark["name"])
            await stream.send("stop")
            await stream.socket.wait_closed()
            assert stream.socket.close_code == 1000
        row = await page.row()
        assert (row.is_test, row.from_number, row.account_id, row.persona_title) == (True, "", "admin", "New")
        assert (row.outcome, row.engine) == ("caller_hung_up", "scripted")
        assert await draft(page, greeting="Good day.") == number + 1  # what was tested stays as it was
        assert (await page.where.state.personas.version(row.persona_version_id)).number == number
        assert row.role_prompt == engine.roles[0].text
        assert told[0] == {"event": "told", "call": row.id}
        assert {(each["side"], each["text"]) for each in told[1:]} == {
            ("agent", " Hello"),
            ("agent", " there."),
            ("caller", "hi"),
        }
        assert row.recording
        assert (await page.where.state.calls.turns(row.id))[0].text
        assert (await page.send("after")).findtext("Say") == "You hung up."
        shown = (await page.http.get(f"/calls/{row.id}")).text
        assert "Test call" in shown
        assert "admin, from the console" in shown
        assert "by admin" in (await page.http.get("/calls", params={"kind": "tests"})).text
        assert row.id not in (await page.http.get("/calls", params={"kind": "callers"})).text


async def test_the_sound_of_a_test_call_is_a_telephones(opened) -> None:
    async with opened() as page, page.stream(await page.call()) as stream:
        await stream.say(np.zeros(640, np.int16))
        (media,) = await stream.until("media")
        assert len(base64.b64decode(media["payload"])) == 640
        assert np.abs(g711.decode(base64.b64decode(media["payload"]))).max() > 5_000
        heard = page.where.state.engine.sessions[0].heard
        assert heard[0].shape == (1_920,)


async def test_nobody_else_gets_in(opened) -> None:
    async with opened() as page:
        assert (await page.http.post(TALK, data={"version": "1"})).status_code == 403
        document = await page.call()
        for origin in ("https://evil.example", ""):
            with pytest.raises(InvalidStatus) as refused:
                async with page.socket(origin=origin):
                    pass
            assert refused.value.response.status_code == 403
            with pytest.raises(httpx.HTTPStatusError):
                await page.send("begin", origin=origin)
        page.dialled["account"] = "somebody"
        async with page.stream(document) as stream:
            await stream.socket.wait_closed()
            assert stream.socket.close_code == 1008
        page.dialled["account"] = "admin"
        async with page.stream(document) as stream:
            await stream.say(np.zeros(640, np.int16))
            await stream.until("media")
            async with page.stream(document) as second:  # the nonce was used
                await second.socket.wait_closed()
                assert second.socket.close_code == 1008
    async with httpx.AsyncClient(base_url=page.where.url, trust_env=False) as stranger:
        assert (await stranger.post(TALK, data={"version": "1"})).status_code == 401


async def test_the_last_free_line_is_left_to_callers(opened) -> None:
    async with opened(ScriptedEngine(talk, slots=1)) as page:
        said = (await page.call()).findtext("Say")
        assert "(1 of 1)" in said
        assert "PARLEY_TEST_KEEPS_SLOTS" in said
        assert await page.where.ring("CA1", to_number=NUMBER)
        assert "All slots are taken." in (await page.call()).findtext("Say")
        assert await page.where.state.calls.call_by_carrier_id("browser", page.dialled["call_id"]) is None


async def test_the_last_line_may_be_given_to_tests(opened) -> None:
    async with opened(ScriptedEngine(talk, slots=1), test_keeps_slots=0) as page, page.stream(await page.call()):
        assert page.where.state.engine.capacity().used == 1


@pytest.mark.parametrize("slots", [1, 2])
async def test_a_process_that_did_not_answer_leaves_its_last_line_too(opened, open_exchange: Open, slots: int) -> None:
    other = await open_exchange(ScriptedEngine(talk, slots=slots))
    async with opened() as page:
        answering, document = page.where, await page.call()
        page.where = other
        async with page.stream(document) as stream:
            page.where = answering
            if slots == 1:
                await stream.socket.wait_closed()
                assert "PARLEY_TEST_KEEPS_SLOTS." in (stream.socket.close_reason or "")
            else:
                heard = asyncio.ensure_future(stream.until("mark"))
                while not heard.done():  # what is said while the slot is being opened is not answered
                    await stream.say(np.zeros(640, np.int16))
                    await asyncio.sleep(0.02)
                await heard
        if slots == 2:
            await page.row()
        assert (await page.send("after")).findtext("Say")
        assert (await page.row()).outcome == "stream_failed"


async def test_a_server_that_stops_takes_no_test_calls_and_ends_those_it_has(opened) -> None:
    async with opened() as page, page.stream(await page.call()) as stream:
        await stream.say(np.zeros(640, np.int16))
        await stream.until("media")
        first = page.dialled
        page.where.state.desks.drain()
        assert "shutting down" in (await page.call()).findtext("Say")
        assert page.where.state.desks.live_calls == 1
        await page.where.state.desks.close()
        page.dialled = first
        assert (await page.row()).outcome == "gateway_lost"
        assert "would now be reconnected" in (await page.send("after")).findtext("Say")


@pytest.mark.parametrize(("to", "said"), [("+15550177", "put through to +15550177"), ("", "the human of the number")])
async def test_a_hand_over_rings_nobody(opened, to: str, said: str) -> None:
    async with opened() as page:
        menu = [{"digit": "0", "action": "human", "to": to}]
        number = await draft(page, menu=card().model_validate(card().model_dump() | {"menu": menu}).menu)
        async with page.stream(await page.call(number)) as stream:
            await stream.say(np.zeros(640, np.int16))
            await stream.until("media")
            await stream.send("dtmf", digit="0")
            listening = asyncio.ensure_future(answer_marks(stream))
            with contextlib.suppress(ConnectionClosed):
                while not listening.done():
                    await stream.say(np.zeros(640, np.int16))
                    await asyncio.sleep(0.01)
        row = await page.row()
        assert (row.outcome, row.handoff) == ("transferred", Handoff("cold", to, "dtmf"))
        after = (await page.send("after")).findtext("Say")
        assert said in after
        assert "Nobody is rung" in after
        assert row.handoff_result == ""
        assert "nobody was rung" in (await page.http.get(f"/calls/{row.id}")).text


async def answer_marks(stream: Stream) -> None:
    async for text in stream.socket:
        message = json.loads(text)
        if message["event"] == "mark":
            await stream.send("mark", name=message["name"])


async def test_a_tab_that_is_closed_before_its_call_connects_leaves_no_slot_taken(opened) -> None:
    async with opened() as page:
        await page.call()
        assert page.where.state.engine.capacity().used == 1
        await page.send("after")
        assert page.where.state.engine.capacity().used == 0
        assert (await page.row()).outcome == "stream_failed"


async def test_a_dropped_socket_ends_the_call(opened) -> None:
    async with opened() as page:
        async with page.stream(await page.call()) as stream:
            await stream.say(np.zeros(640, np.int16))
            await stream.until("media")
            stream.socket.transport.abort()
        assert (await page.row()).outcome == "stream_failed"
        assert page.where.state.engine.capacity().used == 0


async def test_a_card_that_could_not_be_published_says_so(opened) -> None:
    async with opened() as page:
        number = await draft(page, voice="MY-OWN")
        answer = await page.dial(number)
        assert answer.status_code == 409
        assert "there is no voice 'MY-OWN'" in answer.json()["refused"]
        shown = await page.http.get(f"{TALK}?version={number}")
        assert "can’t be talked to" in shown.text.replace("&#39;", "’")
        assert (
            await page.http.post(TALK, data={"csrf_token": token_of(shown.text), "version": "x"})
        ).status_code == 400


async def test_the_microphone_is_for_its_page_only(opened) -> None:
    async with opened() as page:
        assert "microphone=(self)" in (await page.http.get(TALK)).headers["permissions-policy"]
        assert "microphone=()" in (await page.http.get("/personas/acme-help")).headers["permissions-policy"]
        assert f'href="{TALK}?version=1"' in (await page.http.get("/personas/acme-help")).text
