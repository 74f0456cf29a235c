"""Processes that die, or hang, in the middle of a call: the caller goes on with another."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from agent.duplex import load_engine
from agent.pipeline.ending import AGENT_HUNG_UP
from crm.call import AskedEnding, Call, Handoff, NewCall
from crm.gateways import own_name, place_of
from crm.journal import Journal
from crm.store import CallStore
from personas.db import Database
from telephony.carrier import ConnectStream, DialHuman, HangUp, InboundCall, NextAsked
from telephony.simulator import Phone, Say, ScriptedCaller
from tests.agent.conftest import Open
from tests.agent.exchange import NUMBER, TOKEN, Exchange, ScriptedEngine, burst, card
from tests.agent.line.test_answer import Front

ENGINE = """
import socket, sys, uvicorn
from agent.engines.loopback import LoopbackEngine
from agent.engines.personaplex.server import ServerOptions, create_app, server_config
print("ready", flush=True)
sys.stdin.readline()
listening = socket.socket()
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listening.bind(("127.0.0.1", int(sys.argv[1])))
listening.listen()
print("up", flush=True)
app = create_app(LoopbackEngine(10, 0), lambda: ["NATF2.pt"], ServerOptions())
uvicorn.Server(server_config(app, host="127.0.0.1", port=0)).run(sockets=[listening])
"""


@contextmanager
def engine_processes(port: int) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
    """Two servers of the engine's protocol for one port, each in a process of its own; ``listen`` lets them begin."""
    command = [sys.executable, "-c", ENGINE, str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:  # pyright: ignore
        try:
            yield one, other
        finally:
            one.kill()
            other.kill()


def listen(process: subprocess.Popen[str]) -> None:
    """Let an engine's process take calls."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    while process.stdout.readline() != "up\n":
        assert process.poll() is None


async def connected(where: Exchange, part: int) -> None:
    """Wait until the only call's part of this number is live."""
    while True:
        rows = (await where.state.calls.calls()).calls
        if any(row.call.part == part and row.call.status == "live" for row in rows):
            return
        await asyncio.sleep(0.02)


async def test_an_engine_s_process_killed_in_a_call_is_replaced(open_exchange: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with engine_processes(port) as (first, second):
        await asyncio.to_thread(listen, first)
        engine = load_engine("remote", {"engine_url": f"ws://127.0.0.1:{port}?format=pcm_s16le", "engine_slots": "5"})
        where = await open_exchange(engine)
        caller = ScriptedCaller((Say("noise", burst(1, 60_000)),), patience_ms=0)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            call = group.create_task(Phone(where.url, TOKEN).call(caller, to_number=NUMBER))
            await connected(where, 1)
            await asyncio.to_thread(listen, second)
            killed_at_s = time.monotonic()
            os.kill(first.pid, signal.SIGKILL)
            await connected(where, 2)
            assert time.monotonic() - killed_at_s < 2  # then the line's sentence, and the agent
            await asyncio.sleep(0.8)
            next(iter(where.state.desk._live.values())).settle(AGENT_HUNG_UP)
    result = call.result()
    assert result.steps == ("Connect", "Say", "Connect", "Hangup")
    assert np.abs(result.streams[1].heard).max() > 1_000  # the other process repeats the caller
    assert (await where.row(result.call_id)).outcome == "agent_hung_up"
    assert (await where.state.calls.parts("twilio", result.call_id))[0].outcome == "engine_lost"


@pytest.fixture
async def front(tmp_path: Path, database: Database) -> Front:
    front = Front(tmp_path, database, ScriptedEngine())
    await front.personas.import_cards([card()])
    await front.personas.set_number(NUMBER, "acme-help")
    return front


ASKED = NextAsked("CA1", "AC1", "in-progress", part=1)


async def carried_by(front: Front, gateway: str) -> Call:
    """A live call of another process."""
    version = await front.personas.published("acme-help")
    store = CallStore(front.calls.database, gateway)
    new = NewCall("twilio", "CA1", "AC1", "+15550199", NUMBER, "acme-help", version.id, "Acme help")
    return await store.claim("CA1", "AC1", (await store.open_call(new)).nonce)


def dead_gateway() -> str:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{place_of(own_name())}:{process.pid}"


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["of this machine", "of another"])
async def test_a_call_of_a_dead_process_goes_on_with_what_it_left(front: Front, is_elsewhere: bool) -> None:
    call = await carried_by(front, "elsewhere:1" if is_elsewhere else dead_gateway())
    journal = Journal(front.board.recordings.journal(call.id))
    journal.append([["text", 100, " We sell bicycles."], ["word", 500, 900, "wonderful"], ["clock", 1_000]])
    journal.close()
    async with front.desk() as desk:
        answer = await desk.what_next(ASKED)
        assert isinstance(answer, ConnectStream)
        assert (answer.part, answer.say != "") == (2, True)
        first, second = await front.calls.parts("twilio", "CA1")
        assert (first.status, first.outcome, second.continues) == ("lost", "gateway_lost", first.id)
        assert "bicycles" in front.engine.roles[-1].text
        assert await desk.what_next(ASKED) == answer


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_call_of_a_process_that_hangs_goes_on_and_its_end_is_still_taken(front: Front) -> None:
    call = await carried_by(front, "elsewhere:1")
    async with front.desk() as desk:
        assert isinstance(await desk.what_next(ASKED), ConnectStream)
        assert (await front.calls.call(call.id)).outcome == "gateway_lost"
        assert await front.calls.finish(call.id, status="ended", outcome="caller_hung_up")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("ends_first", [False, True])
async def test_what_an_operator_asks_of_another_process_is_done(front: Front, ends_first: bool) -> None:
    call = await carried_by(front, "elsewhere:1")
    handoff = Handoff("cold", "+15550122", "operator", "admin")
    assert await front.calls.request_ending(call.id, AskedEnding("transferred", handoff=handoff))
    if ends_first:  # the other process saw the stream end before we were asked
        await front.calls.finish(call.id, status="ended", outcome="caller_hung_up")
        assert (await front.calls.call(call.id)).handoff == handoff
    async with front.desk() as desk:
        answer = await desk.what_next(ASKED)
    assert isinstance(answer, DialHuman)
    assert answer.to == "+15550122"
    await front.calls.finish(call.id, status="ended", outcome="caller_hung_up")
    row = await front.calls.call(call.id)
    assert (row.outcome, row.handoff_result) == ("transferred", "dialling")
    assert not await front.calls.request_ending(call.id, AskedEnding("agent_hung_up"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_hanging_up_a_call_of_another_process(front: Front) -> None:
    call = await carried_by(front, "elsewhere:1")
    await front.calls.request_ending(call.id, AskedEnding("agent_hung_up", "Ended by an operator."))
    async with front.desk() as desk:
        assert await desk.what_next(ASKED) == HangUp()


async def test_a_call_claimed_as_its_reservation_expires_is_carried(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket comes between the clock's look at the row and its writing of the end."""
    expired = asyncio.Event()
    looked = front.calls.call_by_carrier_id

    async def look(carrier: str, call_id: str) -> Call | None:
        row = await looked(carrier, call_id)
        if row is not None and row.status == "ringing":
            await front.calls.claim("CA1", "AC1", nonces[0])
            expired.set()
        return row

    nonces: list[str] = []
    async with front.desk(reservation_s=0.1) as desk:
        answer = await desk.answer(InboundCall("twilio", "CA1", "AC1", "+15550199", NUMBER))
        assert isinstance(answer, ConnectStream)
        nonces.append(answer.parameters["nonce"])
        monkeypatch.setattr(front.calls, "call_by_carrier_id", look)
        async with asyncio.timeout(5):
            await expired.wait()
    row = await looked("twilio", "CA1")
    assert row is not None
    assert (row.status, row.outcome) == ("live", "")
