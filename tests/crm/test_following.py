"""Scoring beside the server: calls as they end, and a database that goes away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import text, update

from crm.call import JudgeWait, NewCall, Scorecard, Turn
from crm.scoring import controls, judge_late, score_and_store
from crm.scoring import judge as judge_module
from crm.scoring.controls import ProvenJudge
from crm.scoring.following import score_as_they_end
from crm.scoring.judge import VOTES, Judge
from crm.store import CallStore
from crm.tables import CallRow
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


@pytest.fixture(autouse=True)
def hasty_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "_TRIES_AFTER_S", (0.0, 0.01))


@asynccontextmanager
async def proven(folder: Path) -> "AsyncIterator[tuple[Endpoint, ProvenJudge]]":
    """A judge that has judged the control cases, and its endpoint."""
    async with Endpoint().serving() as endpoint:
        endpoint.answers = wise
        judge = ProvenJudge(Judge(endpoint.address, "wise-1"), folder)
        await judge.prove()
        yield endpoint, judge
        await judge.judge.close()


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

    async with proven(tmp_path) as (endpoint, judge):
        endpoint.answers = lambda question, number: {"verdicts": [vote("calm", "pass", "That's $90.", 1)]}
        endpoint.before_answering = all_at_once
        async with following(desk, judge) as scored:
            found = dict([await scored.get() for _ in calls])
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
    assert await desk.calls.take_unscored() == broken


async def test_several_scorers_share_the_calls_and_one_that_is_stopped_or_dies_loses_none(
    desk: Desk, database: Database, tmp_path: Path
) -> None:
    calls = [await desk.end_call(f"CA{number}") for number in range(6)]
    async with following(desk) as one, following(desk) as other:
        found = {(await (one if number % 2 else other).get())[0] for number in range(2)}
        while len(found) < 6:
            found |= {queue.get_nowait()[0] for queue in (one, other) if not queue.empty()}
            await asyncio.sleep(0.01)
    assert [len(await desk.calls.scores(call_id)) for call_id in calls] == [1] * 6

    late, asked, stopped = await desk.end_call("CA7"), asyncio.Event(), asyncio.Event()

    async def too_late() -> None:
        asked.set()
        await stopped.wait()

    async with proven(tmp_path) as (endpoint, judge):
        endpoint.before_answering = too_late
        async with following(desk, judge):
            await asked.wait()
            assert await desk.calls.take_unscored() is None  # it is taken
        assert await desk.calls.take_unscored() == late  # and was given back
        stopped.set()
    assert await desk.calls.take_unscored() is None
    async with database.session() as session:
        await session.execute(update(CallRow).values(score_due_at=datetime.now(UTC)).where(CallRow.id == late))
    assert await desk.calls.take_unscored() == late  # nobody has it any more


async def test_calls_that_missed_their_judge_are_judged_when_it_is_back(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [await desk.end_call(f"CA{number}") for number in range(2)]
    async with proven(tmp_path) as (endpoint, judge):
        endpoint.answers = lambda question, number: 503
        async with following(desk, judge) as scored:
            assert {(await scored.get())[1].scorer for _ in calls} == {"deterministic/1"}
        assert [(await desk.calls.call(each)).judge_tries for each in calls] == [0, 0]  # away is no failure
        endpoint.answers = lambda question, number: {"verdicts": [vote("calm", "pass", "That's $90.", 1)]}
        async with following(desk, judge) as scored:  # its pause is not over: nobody is asked
            new = await desk.end_call("CA3")
            assert (await scored.get())[1].scorer == "deterministic/1"
            requests = len(endpoint.requests)
            monkeypatch.setattr(controls, "time", SimpleNamespace(monotonic=lambda: 1e12))
            judged = [await scored.get() for _ in range(3)]
        assert {name for name, _ in judged} == {*calls, new}
        assert all("wise-1" in card.scorer for _, card in judged)
        assert len(endpoint.requests) == requests + VOTES + 3 * VOTES  # one control case, then the calls
        assert [len(await desk.calls.scores(each)) for each in calls] == [2, 2]
        assert await desk.calls.take_unjudged(given_up=True) is None


async def test_newer_calls_are_judged_first_and_others_are_not_taken_at_once(desk: Desk) -> None:
    calls = [await desk.end_call(f"CA{number}") for number in range(3)]
    version = (await desk.calls.call(calls[0])).persona_version_id
    now = datetime.now(UTC)
    for call_id, wait in zip(calls, (JudgeWait(now, 0), JudgeWait(now, 0), JudgeWait(None, 5)), strict=True):
        await desk.calls.save_score(call_id, version, Scorecard("deterministic/1", "h", None, 0.0, ()), wait)
    taken = await asyncio.gather(*(desk.calls.take_unjudged() for _ in range(4)))
    assert sorted(map(str, taken)) == sorted(["None", "None", *calls[:2]])
    await desk.calls.put_off(calls[0], now)
    await desk.calls.put_off(calls[1], now)
    order = [await desk.calls.take_unjudged(given_up=True) for _ in range(3)]
    assert order == [calls[2], calls[1], calls[0]]


async def test_a_call_that_the_judge_fails_at_is_tried_again_later_and_then_given_up(
    desk: Desk, tmp_path: Path
) -> None:
    call_id = await desk.end_call("CA1")
    async with proven(tmp_path) as (endpoint, judge):
        # It is there, and answers control cases, but can't read this call.
        endpoint.answers = lambda question, number: wise(question, number) if "Hillside" in question["role"] else 400
        await score_and_store(desk.calls, desk.personas, call_id, judge)
        pauses = []
        for tries in range(1, 6):
            call = await desk.calls.call(call_id)
            assert call.judge_tries == tries
            pauses.append(call.score_due_at and round((call.score_due_at - datetime.now(UTC)).total_seconds() / 60))
            assert await judge_late(desk.calls, desk.personas, call_id, judge) is None
        assert pauses == [10, 60, 360, 1440, None]
        assert len(await desk.calls.scores(call_id)) == 1
        assert await desk.calls.take_unjudged() is None
        endpoint.answers = lambda question, number: {"verdicts": []}  # an answer that decides nothing is one
        assert await desk.calls.take_unjudged(given_up=True) == call_id
        assert await judge_late(desk.calls, desk.personas, call_id, judge)
    assert (await desk.calls.call(call_id)).judge_tries == 0
    assert await desk.calls.take_unjudged(given_up=True) is None


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
