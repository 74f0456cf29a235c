"""Processes show each other's live calls and act on them, over a machine's sockets and between machines; nobody else
may ask, and nobody twice.
"""

import asyncio
import os
import shutil
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, fields
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from agent.live import CallOver, LiveCalls, Spoke
from agent.neighbours import LiveNeighbours, answers, neighbours
from agent.neighbours.machines import PATH
from agent.neighbours.neighbours import CUT_OFF
from agent.neighbours.seals import FRESH_S, MOST_BYTES, BadSeal, Question, Seals
from crm.admin.live import LiveLine
from crm.call import Call, Handoff
from crm.gateways import Gateways, Told
from personas.db import Database
from tests.telephony.conftest import run_app as run_app

SECRET = "s" * 32
CARRYING, BESIDE, AWAY = f"host:{os.getpid()}", f"host:{os.getppid()}", "elsewhere:1"
COLD = Handoff("cold", "+15550177", "operator")
WAYS = pytest.mark.parametrize("way", ["beside", "away"])


@pytest.fixture
async def database(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Database]:
    """One kind will do: the list of processes is tested on both."""
    path = tmp_path / "parley.db"
    shutil.copyfile(sqlite_template, path)
    database = Database(f"sqlite+aiosqlite:///{path}")
    yield database
    await database.close()


@dataclass
class Control:
    """A call in a test's hands; ``has_human`` says whether there is anybody to give it to."""

    media_ms: int = 1_200
    has_human: bool = True
    done: tuple[object, ...] = ()

    def hang_up(self, user: str) -> None:
        self.done += (("hang_up", user),)

    def hand_off(self, handoff: Handoff, user: str) -> bool:
        self.done += (("hand_off", handoff, user),)
        return self.has_human


def call_of(gateway: str, call_id: str = "c1") -> Call:
    unknown = {field.name: None for field in fields(Call)}
    return Call(**unknown | {"id": call_id, "gateway": gateway, "status": "live"})


@dataclass
class Net:
    """A process that carries a call, and by name another of its machine, and one of another machine."""

    live: LiveCalls
    control: Control
    asking: dict[str, LiveNeighbours]
    url: str


@pytest.fixture
async def net(tmp_path: Path, database: Database, run_app: Callable[[FastAPI], str]) -> AsyncIterator[Net]:
    live, control, app = LiveCalls(), Control(), FastAPI()
    live.carry("c1", control)
    url = run_app(app)
    async with AsyncExitStack() as stack:

        async def process(name: str, calls: LiveCalls, address: str) -> LiveNeighbours:
            gateways = Gateways(database, name, Told(address))
            await gateways.beat()
            folder = tmp_path / name.partition(":")[0]
            return await stack.enter_async_context(LiveNeighbours(calls, folder, gateways, SECRET))

        await process(CARRYING, live, url)
        beside = await process(BESIDE, LiveCalls(), url)
        beside.mount(app)  # who gets another machine's question is, as a rule, not the one that is meant
        away = await process(AWAY, LiveCalls(), "http://127.0.0.1:9")
        yield Net(live, control, {"beside": beside, "away": away}, url)


@WAYS
async def test_words_come_from_the_beginning_and_as_they_are_said(net: Net, way: str) -> None:
    asking = net.asking[way]
    net.live.publish("c1", Spoke("agent", 80, " Hello"))
    assert await asking.media_ms(call_of(CARRYING)) == 1_200
    lines = asking.lines(call_of(CARRYING))
    assert await anext(lines) == LiveLine("agent", 80, " Hello")
    net.live.publish("c1", Spoke("caller", 160, "grüezi\u2028\n"))
    assert await anext(lines) == LiveLine("caller", 160, "grüezi\u2028\n")
    net.live.publish("c1", CallOver("caller_hung_up", 240))
    assert [line async for line in lines] == []
    assert await asking.media_ms(call_of(CARRYING)) is None


@WAYS
async def test_an_operator_acts_on_it_at_once(net: Net, way: str) -> None:
    asking, call = net.asking[way], call_of(CARRYING)
    assert await asking.hand_off(call, COLD, "kim") is True
    net.control.has_human = False
    assert await asking.hand_off(call, COLD, "kim") is False
    assert await asking.hang_up(call, "kim") is True
    given = ("hand_off", COLD, "kim")
    assert net.control.done == (given, given, ("hang_up", "kim"))


@WAYS
@pytest.mark.parametrize(
    ("gateway", "call_id"),
    [("nowhere:1", "c1"), ("host:999999999", "c1"), (BESIDE, "c1"), (AWAY, "c1"), ("", "c1"), (CARRYING, "c2")],
    ids=["unheard of", "dead", "beside", "away", "nobody", "another call"],
)
async def test_what_nobody_carries_is_neither_shown_nor_ended(net: Net, way: str, gateway: str, call_id: str) -> None:
    asking, call = net.asking[way], call_of(gateway, call_id)
    assert await asking.media_ms(call) is None
    assert [line async for line in asking.lines(call)] == []
    assert await asking.hang_up(call, "kim") is False
    assert await asking.hand_off(call, COLD, "kim") is None
    assert net.control.done == ()


async def test_a_machine_that_hangs_holds_no_page(
    net: Net, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "ANSWERS_WITHIN_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # takes connections, and that is all
        await Gateways(database, "hangs:1", Told(f"http://127.0.0.1:{hanging.getsockname()[1]}")).beat()
        async with asyncio.timeout(5):
            assert await net.asking["away"].media_ms(call_of("hangs:1")) is None
            assert await net.asking["away"].hang_up(call_of("hangs:1"), "kim") is False


@pytest.mark.parametrize("dies", [True, False], ids=["its process was killed", "its power failed"])
async def test_a_machine_that_is_lost_in_a_call_is_said_to_be(
    net: Net, database: Database, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    monkeypatch.setattr(neighbours, "SILENCE_S", 0.05)
    said = b'{"ms": 5}\n{"side": "agent", "at_ms": 80, "text": " Hello"}\n'
    written = asyncio.Event()

    async def half_an_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(said), said))
        if not dies:
            await written.wait()
        writer.close()

    async with await asyncio.start_server(half_an_answer, "127.0.0.1", 0) as server, asyncio.timeout(5):
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await Gateways(database, "lost:1", Told(address)).beat()
        lines = [line async for line in net.asking["away"].lines(call_of("lost:1"))]
        written.set()
    assert lines == [LiveLine("agent", 80, " Hello"), LiveLine("event", 80, CUT_OFF)]


async def test_a_call_in_which_nothing_is_said_shows_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SIGN_OF_LIFE_S", 0.01)
    live = LiveCalls()
    live.carry("c1", Control())
    live.carry("c2", Control())
    async with aclosing(answers.answers(live, Question(CARRYING, "lines", "c1"))) as lines:
        assert await anext(lines) == b'{"ms": 1200}\n'
        assert await anext(lines) == b"{}\n"
        live.publish("c2", Spoke("agent", 80, " Not this call."))
        assert await anext(lines) == b"{}\n"


async def test_who_lacks_the_secret_learns_and_does_nothing(net: Net) -> None:
    asked = Question(CARRYING, "hang_up", "c1", "mallory")
    forged = Seals("another secret" * 3, CARRYING).seal(asked)
    good = Seals(SECRET, AWAY).seal(asked)
    stale = Seals(SECRET, AWAY, clock=lambda: 1_000_000.0).seal(asked)
    strangers = Seals(SECRET, AWAY).seal(Question("third:1", "hang_up", "c1"))
    changed = good.replace(b"mallory", b"someone")
    async with httpx.AsyncClient(trust_env=False, base_url=net.url) as http:

        async def status(body: bytes) -> int:
            return (await http.post(PATH, content=body)).status_code

        refused = (b"", b"\n", b"\xff \xff\n", forged, stale, strangers, changed, changed.partition(b" ")[2])
        assert [await status(body) for body in refused] == [403] * len(refused)
        assert await status(b"x" * (MOST_BYTES + 1)) == 413
        assert net.control.done == ()
        assert await status(good) == 200
        assert await status(good) == 404  # overheard and sent again: the process that is meant says nothing
        assert net.control.done == (("hang_up", "mallory"),)


async def test_a_process_that_has_no_address_answers_no_machine(tmp_path: Path, database: Database) -> None:
    app = FastAPI()
    LiveNeighbours(LiveCalls(), tmp_path, Gateways(database, CARRYING), SECRET).mount(app)
    assert PATH not in {getattr(route, "path", "") for route in app.routes}


def test_a_question_is_taken_once_and_while_it_is_fresh() -> None:
    now = [1_000.0]
    asking, asked = Seals(SECRET, "one:1", lambda: 1_000.0), Seals(SECRET, "two:1", lambda: now[0])
    question = Question("two:1", "hand_off", "c1", "kim", COLD)
    line = asking.seal(question)
    assert (asked.addressee(line), asked.open(line)) == ("two:1", question)
    for later_s in (0.0, FRESH_S):
        now[0] = 1_000.0 + later_s
        with pytest.raises(BadSeal, match="answered before"):
            asked.open(line)
    now[0] += 1
    with pytest.raises(BadSeal, match="clocks differ"):
        asked.open(line)
    with pytest.raises(BadSeal, match="another process"):
        Seals(SECRET, "three:1", lambda: 1_000.0).open(line)


async def test_sockets_are_their_owners_alone_and_leave_nothing(tmp_path: Path, database: Database) -> None:
    async with LiveNeighbours(LiveCalls(), tmp_path / "live", Gateways(database, CARRYING), SECRET):
        assert stat.S_IMODE((tmp_path / "live").stat().st_mode) == 0o700
        assert len(os.listdir(tmp_path / "live")) == 1
    assert os.listdir(tmp_path / "live") == []


async def test_what_a_killed_process_left_is_cleared_away_and_other_machines_are_left_alone(
    tmp_path: Path, database: Database
) -> None:
    folder = tmp_path / "live"
    async with AsyncExitStack() as stack:
        for name in ("host:999999998", f"other:{os.getpid()}", "other:999999998"):
            await stack.enter_async_context(LiveNeighbours(LiveCalls(), folder, Gateways(database, name), SECRET))
        async with LiveNeighbours(LiveCalls(), folder, Gateways(database, CARRYING), SECRET):
            assert len(os.listdir(folder)) == 3


async def test_a_folder_too_deep_for_sockets_keeps_nobody_from_calling(tmp_path: Path, database: Database) -> None:
    gateways = Gateways(database, CARRYING)
    async with LiveNeighbours(LiveCalls(), tmp_path / ("deep" * 40), gateways, SECRET) as alone:
        assert await alone.media_ms(call_of(BESIDE)) is None
