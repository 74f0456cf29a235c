"""What a process leaves that is gone for good is cared for by those that are there, and by nobody before."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from agent.line import colleagues
from agent.line.answer import CallDesk
from agent.line.colleagues import SILENT_S
from crm.call import Call, NewCall
from crm.gateways import Gateways, Told
from crm.journal import Journal
from crm.store import LOST, CallStore
from crm.tables import GatewayRow
from personas.db import Database
from tests.agent.exchange import NUMBER, ScriptedEngine
from tests.agent.line.test_answer import Front

ELSEWHERE = "elsewhere:1"


@dataclass
class Clock:
    """Goes on when the test says so."""

    now_s: float = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    async def forward(self, desk: CallDesk, seconds: float) -> None:
        """Let time pass in which the other process was heard of once more."""
        self.now_s += seconds
        async with asyncio.timeout(10):
            while True:
                if desk._colleagues._heard.get(ELSEWHERE, (None, 0))[1] == self.now_s:
                    return
                await asyncio.sleep(0.01)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(colleagues, "BEAT_S", 0.02)
    monkeypatch.setattr(colleagues, "time", clock)
    return clock


@pytest.fixture
def front(tmp_path: Path, database: Database) -> Front:
    return Front(tmp_path, database, ScriptedEngine())


async def carried(front: Front, call_id: str = "CA1") -> Call:
    """A live call of another machine, with what is known of it up to now."""
    store = CallStore(front.calls.database, ELSEWHERE)
    new = NewCall("twilio", call_id, "AC1", "+15550199", NUMBER, "acme-help")
    call = await store.claim(call_id, "AC1", (await store.open_call(new)).nonce)
    journal = Journal(front.board.recordings.journal(call.id))
    journal.append([["text", 100, " We sell bicycles."], ["word", 500, 900, "wonderful"], ["clock", 1_000]])
    journal.close()
    return call


async def until(what: Callable[[Call], bool], front: Front, call: Call) -> None:
    async with asyncio.timeout(10):
        while True:
            if what(await front.calls.call(call.id)):
                return
            await asyncio.sleep(0.02)


async def words(front: Front, call: Call) -> list[str]:
    return [turn.text for turn in await front.calls.turns(call.id)]


async def test_calls_of_a_machine_that_never_comes_back_are_ended_with_what_was_said(
    front: Front, clock: Clock
) -> None:
    live, given_up = await carried(front), await carried(front, "CA2")
    waiting = await CallStore(front.calls.database, ELSEWHERE).hold_call(NewCall("twilio", "CA3", "AC1", "", NUMBER))
    await front.calls.finish(given_up.id, status="lost", **LOST["live"])  # the carrier asked what comes next
    await Gateways(front.calls.database, ELSEWHERE).beat()
    async with front.desk() as desk:
        await clock.forward(desk, 0)
        clock.now_s += SILENT_S
        await until(lambda call: call.outcome == "abandoned", front, waiting)
    assert (await front.calls.call(live.id)).outcome == "gateway_lost"
    assert await words(front, live) == await words(front, given_up) == ["We sell bicycles.", "wonderful"]
    assert await Gateways(front.calls.database, "third:1").others() == []
    assert not list((front.board.recordings.folder / "live").iterdir())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_machine_whose_clock_is_wrong_is_not_taken_for_gone(front: Front, clock: Clock) -> None:
    call = await carried(front)
    await Gateways(front.calls.database, ELSEWHERE).beat()
    async with front.desk() as desk:
        for hours in (3, 2, 1):
            seen = update(GatewayRow).where(GatewayRow.name == ELSEWHERE)
            async with front.calls.database.session() as session:
                await session.execute(seen.values(seen_at=datetime.now(UTC) - timedelta(hours=hours)))
            await clock.forward(desk, SILENT_S - 1)
        assert (await front.calls.call(call.id)).status == "live"
        clock.now_s += SILENT_S
        await until(lambda call: call.status == "lost", front, call)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_call_of_a_process_that_drains_is_not_taken_for_lost(front: Front, clock: Clock) -> None:
    elsewhere = replace(front.board, calls=CallStore(front.calls.database, ELSEWHERE))
    call = await carried(front)
    async with CallDesk(elsewhere) as draining, front.desk() as desk:
        draining.draining = True
        for _ in range(3):
            await clock.forward(desk, SILENT_S - 1)
        assert (await front.calls.call(call.id)).status == "live"
        assert not await desk._colleagues.any_other()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_machines_ought_to_share_is_compared_and_said_once(
    front: Front, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    other = Gateways(front.calls.database, ELSEWHERE, Told("http://10.0.0.2:8080", "their secret", "their folder"))
    own = Gateways(front.calls.database, front.calls.gateway, Told("", "our secret", "our folder"))
    async with CallDesk(front.board, gateways=own) as desk:
        for _ in range(3):
            await other.beat()
            await clock.forward(desk, 1)
    found = [each for each in caplog.messages if "differ" in each]
    for setting in ("PARLEY_RECORDINGS_DIR", "PARLEY_SESSION_SECRET", "PARLEY_PEER_ADDRESS"):
        assert sum(setting in each for each in found) == 1
    assert len(found) == 3
