"""Scoring beside the server: calls as they end, and a database that goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from crm.call import NewCall, Scorecard, Turn
from crm.scoring.controls import ProvenJudge
from crm.scoring.following import score_as_they_end
from crm.scoring.judge import VOTES, Judge
from crm.store import CallStore
from personas.db import Database
from personas.library import load_library
from personas.store import PersonaStore
from tests.crm.judging import Endpoint, vote, wise

PATIENCE_S = 20
Scored = asyncio.Queue[tuple[str, Scorecard]]


class Desk:
    """Ends calls of one persona."""

    def __init__(self, database: Database, new_call: Callable[..., NewCall]) -> None:
        self.calls, self.personas = CallStore(database), PersonaStore(database)
        self._new_call = new_call

    async def end_call(self, name: str) -> str:
        version = await self.personas.published("greenloop-waste")
        opened = await self.calls.open_call(self._new_call(name, persona_version_id=version.id))
        turns = [Turn("caller", 0, 900, "who is this"), Turn("agent", 1_000, 1_900, "That's $90.")]
        await self.calls.finish(opened.call.id, status="ended", outcome="caller_hung_up", turns=turns)
        return opened.call.id


@pytest.fixture
async def desk(database: Database, new_call) -> Desk:
    desk = Desk(database, new_call)
    await desk.personas.import_cards([card for card in load_library() if card.slug == "greenloop-waste"])
    return desk


@asynccontextmanager
async def following(
    desk: Desk, judge: ProvenJudge | None = None
) -> AsyncIterator["asyncio.Queue[tuple[str, Scorecard]]"]:
    """What is scored, while the block lasts."""
    scored: asyncio.Queue[tuple[str, Scorecard]] = asyncio.Queue()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tell = lambda *told: scored.put_nowait(told)  # noqa: E731
        group.create_task(score_as_they_end(desk.calls, desk.personas, stop, tell, every_s=0.05, judge=judge))
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield scored
        finally:
            stop.set()


async def test_calls_are_scored_as_they_end(desk: Desk) -> None:
    before = await desk.end_call("CA1")
    async with following(desk) as scored:
        call_id, card = await scored.get()
        assert call_id == before
        assert card.verdicts
        later = await desk.end_call("CA2")
        assert (await scored.get())[0] == later
    assert [len(await desk.calls.scores(call_id)) for call_id in (before, later)] == [1, 1]


async def test_with_a_judge_several_calls_are_scored_at_a_time(desk: Desk, tmp_path: Path) -> None:
    calls = [await desk.end_call(f"CA{number}") for number in range(3)]
    together = asyncio.Barrier(3 * VOTES)

    async def all_at_once() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await together.wait()

    async with Endpoint().serving() as endpoint:
        endpoint.answers = wise
        judge = ProvenJudge(Judge(endpoint.address, "wise-1"), tmp_path)
        await judge.prove()
        endpoint.answers = lambda question, number: {"verdicts": [vote("calm", "pass", "That's $90.", 1)]}
        endpoint.before_answering = all_at_once
        async with following(desk, judge) as scored:
            found = dict([await scored.get() for _ in calls])
        await judge.judge.close()
    assert set(found) == set(calls)
    for card in found.values():
        assert next(verdict.result for verdict in card.verdicts if verdict.criterion_id == "calm") == "pass"


async def test_a_call_that_can_not_be_scored_keeps_none_waiting(desk: Desk, database: Database) -> None:
    broken = await desk.end_call("CA1")
    async with database.session() as session:
        await session.execute(text("DELETE FROM turns"))
    async with following(desk) as scored:
        good = await desk.end_call("CA2")
        assert (await scored.get())[0] == good
    assert await desk.calls.unscored() == [broken]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_database_that_goes_away_is_asked_again(desk: Desk, database: Database) -> None:
    async with following(desk) as scored:
        async with database.session() as session:
            await session.execute(text("ALTER TABLE verdicts RENAME TO elsewhere"))
        call_id = await desk.end_call("CA1")
        await asyncio.sleep(0.3)
        assert scored.empty()
        async with database.session() as session:
            await session.execute(text("ALTER TABLE elsewhere RENAME TO verdicts"))
        assert (await scored.get())[0] == call_id
