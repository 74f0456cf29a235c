"""Figures from kept days are those of one plain query over all calls, whatever happened to the calls meanwhile."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from crm.analytics import Analytics, Figures
from crm.call import Scorecard, Severity, Verdict
from crm.kept_days import KeptDays
from crm.store import CallStore
from crm.tables import CallRow, ChangedCallRow, KeptDayRow, ScoreRow, TransferRow, VerdictRow
from personas.db import Database
from tests.crm.plain_figures import PlainFigures

ZONES = ("UTC", "Europe/Berlin", "America/Havana", "Asia/Kathmandu")
SLUGS = (None, "waste", "bank", "hotel")


class Center:
    """A contact center in which anything may happen to a call at any time."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.store = CallStore(database)
        self.random = Random(seed)
        self.number = 0

    async def call(self, at: datetime | None = None) -> None:
        random, self.number = self.random, self.number + 1
        at = at or datetime.now(UTC) - timedelta(seconds=random.uniform(0, 5 * 86_400))
        slug = random.choice(SLUGS)
        status, outcome = random.choice((("ended", "caller_hung_up"), ("live", ""), ("refused", "engine_full")))
        row = {
            "id": f"{self.number:032}",
            "carrier": "twilio",
            "carrier_call_id": f"CA{self.number}",
            "account_id": "AC1",
            "from_number": "",
            "to_number": "+2",
            "persona_slug": slug,
            "persona_title": f"{slug} {random.randrange(2)}" if slug else "",
            "engine": "",
            "role_prompt": "",
            "gateway": "h:1",
            "status": status,
            "outcome": outcome,
            "created_at": at,
            "is_test": random.random() < 0.1,
        }
        if status == "ended":
            row |= self._end(at)
        async with self.database.session() as session:
            await session.execute(insert(CallRow), [row])
            if status == "ended":
                await session.execute(insert(TransferRow), self._transfers(row["id"]))

    def _end(self, at: datetime) -> dict[str, object]:
        count = self.random.randrange
        dynamics = {
            "dead_air_count": count(3),
            "agent_answered": count(2) == 0,
            "takeovers": {name: count(5) for name in ("in_speech", "in_pause", "pauses", "long_ipus")},
            "overlap": {"ms": count(500), "speech_ms": count(9_000)},
            "backchannels": {"count": count(4), "caller_floor_ms": count(9_000)},
        }
        values = {"status": "ended", "outcome": "agent_hung_up", "duration_ms": count(90_000), "turn_count": 2}
        return values | {"answered_at": at, "dynamics": dynamics if count(4) else {}}

    def _transfers(self, call_id: str) -> list[dict[str, object]]:
        return [
            {"call_id": call_id, "at_ms": 1_000 * each, "offset_ms": 10 * self.random.randrange(-120, 230)}
            for each in range(1, 4)
        ]

    async def _any(self, *where: object) -> str | None:
        async with self.database.session() as session:
            names = (await session.scalars(select(CallRow.id).where(*where).order_by(CallRow.id))).all()  # pyright: ignore[reportArgumentType]
        return self.random.choice(names) if names else None

    async def late_end(self) -> None:
        if call_id := await self._any(CallRow.status == "live"):
            async with self.database.session() as session:
                values = self._end(datetime.now(UTC))
                await session.execute(update(CallRow).where(CallRow.id == call_id).values(**values))
                await session.execute(insert(TransferRow), self._transfers(call_id))

    async def score(self) -> None:
        if call_id := await self._any(CallRow.status == "ended"):
            verdicts = tuple(self._verdict(f"c{each}") for each in range(self.random.randrange(5)))
            score = None if not verdicts else self.random.randrange(8) / 8
            await self.store.save_score(call_id, None, Scorecard("d", "a", score, 0.5, verdicts))

    def _verdict(self, name: str) -> Verdict:
        result = self.random.choice(("pass", "fail", "unresolved", "na"))
        severity: Severity = self.random.choice(("critical", "minor"))
        return Verdict(name, f"{name} {self.random.randrange(2)}", result, severity, 1.0, "", None, "")

    async def erase(self) -> None:
        async with self.database.session() as session:
            await session.execute(delete(CallRow).where(CallRow.id == await self._any()))

    async def forget_parts(self) -> None:
        call_id = await self._any(CallRow.scored_at.is_not(None))
        of_call = select(ScoreRow.id).where(ScoreRow.call_id == call_id)
        which = self.random.choice(
            (
                delete(TransferRow).where(TransferRow.call_id == call_id),
                delete(ScoreRow).where(ScoreRow.call_id == call_id),
                delete(VerdictRow).where(VerdictRow.score_id.in_(of_call)),
                update(VerdictRow).where(VerdictRow.score_id.in_(of_call)).values(verdict="fail"),
            )
        )
        async with self.database.session() as session:
            await session.execute(which)

    async def something(self) -> None:
        what = (self.call, self.late_end, self.score, self.score, self.erase, self.forget_parts)
        await self.random.choice(what)()


def same(found: Figures, plain: Figures) -> None:
    assert found.days == plain.days
    assert found.outcomes == plain.outcomes
    assert found.criteria == plain.criteria
    assert found.timing == plain.timing
    assert [each.slug for each in found.personas] == [each.slug for each in plain.personas]
    for mine, theirs in zip(found.personas, plain.personas, strict=True):
        assert mine.score == (None if theirs.score is None else pytest.approx(theirs.score, abs=1e-12))
        assert mine.coverage == theirs.coverage  # halves: exact in any order
        assert (mine.title, mine.calls, mine.scored) == (theirs.title, theirs.calls, theirs.scored)
        assert (mine.failed_critical, mine.onset_p50_ms) == (theirs.failed_critical, theirs.onset_p50_ms)
        assert mine.onset_p90_ms == theirs.onset_p90_ms


async def test_figures_equal_a_plain_query_whatever_happens(database: Database) -> None:
    center, figures, plain = Center(database, 1), Analytics(database), PlainFigures(database)
    random = center.random
    same(await figures.figures(), await plain.figures())
    for _ in range(30):
        await center.call()
    zone = ZoneInfo("Europe/Berlin")
    for turn in range(24):
        for _ in range(random.randrange(1, 4)):
            await center.something()
        if turn % 8 == 7:
            zone = ZoneInfo(random.choice(ZONES))
        same(await figures.figures(zone=zone), await plain.figures(zone=zone))
        if turn % 4 == 3:
            today = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
            since, until = (
                random.choice((None, today - timedelta(days), today - timedelta(days, random.randrange(86_400))))
                for days in (random.randrange(12), random.randrange(-1, 6))
            )
            persona = random.choice(("", "bank", "nobody"))
            same(await figures.figures(since, until, zone, persona), await plain.figures(since, until, zone, persona))
    assert await _kept(database)  # some of it was indeed kept


async def test_a_day_is_counted_once_and_again_when_a_call_of_it_changes(database: Database) -> None:
    center, figures = Center(database, 5), Analytics(database)
    noon = datetime.now(UTC).replace(hour=12, minute=0) - timedelta(9)
    for hours in range(0, 72, 6):
        await center.call(noon + timedelta(hours=hours))
    before = await figures.figures()
    async with database.session() as session:
        assert not await session.scalar(select(func.count()).select_from(ChangedCallRow))
        false = {"title": "", "score": 0, "coverage": 0, "numbers": {}, "endings": [["ended", "x", 7]], "criteria": {}}
        await session.execute(update(KeptDayRow).values(figures=json.dumps({"waste": false}), waits=b""))
    untrue = await figures.figures(until=noon.replace(hour=0) + timedelta(2))
    assert [each.calls for each in untrue.days] == [7, 7]  # what is kept is not counted again
    async with database.session() as session:
        day = noon.replace(hour=0) + timedelta(1)
        await session.execute(delete(CallRow).where(CallRow.created_at >= day, CallRow.created_at < day + timedelta(1)))
    after = await figures.figures()
    assert [each.calls for each in after.days] == [7, *(7 for _ in before.days[2:])]


async def test_what_changes_while_a_day_is_counted_is_not_lost(database: Database) -> None:
    """A change that the counting can't see is still noted when the day has been kept."""
    center, figures, plain = Center(database, 7), Analytics(database), PlainFigures(database)
    at = datetime.now(UTC) - timedelta(5)
    for _ in range(20):
        await center.call(at)
    others = Center(database, 8)
    others.number = 1_000

    async def change() -> None:
        for _ in range(25):
            await others.call(at)

    async def look() -> None:
        for _ in range(10):
            await figures.figures()

    async with asyncio.TaskGroup() as group:
        for work in (change, look, look):
            group.create_task(work())
    same(await figures.figures(), await plain.figures())


async def test_days_are_counted_before_somebody_asks(database: Database) -> None:
    center, stop = Center(database, 3), asyncio.Event()
    await center.call(datetime.now(UTC) - timedelta(3))
    async with asyncio.TaskGroup() as group:
        group.create_task(Analytics(database).count_ahead(ZoneInfo("UTC"), stop, every_s=0.01))
        async with asyncio.timeout(20):
            while not await _kept(database):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # another task's work, seen in the database
        stop.set()


async def _kept(database: Database) -> int:
    async with database.session() as session:
        return await session.scalar(select(func.count()).select_from(KeptDayRow)) or 0


async def test_calls_that_go_on_now_note_nothing(database: Database) -> None:
    center = Center(database, 3)
    for _ in range(10):
        await center.call(datetime.now(UTC))
        await center.late_end()
        await center.score()
    await Analytics(database).figures()
    async with database.session() as session:
        for table in (ChangedCallRow, KeptDayRow):
            assert not await session.scalar(select(func.count()).select_from(table))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_migration_has_dropped_a_trigger(database: Database) -> None:
    """Alembic's batches make a table anew, without its triggers: see migration 0015."""
    async with database.session() as session:
        found = set(await session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")))
    whole = {f"calls_{what}" for what in ("inserted", "updated", "deleted")}
    assert found >= whole | {
        f"{table}_{what}" for table in ("transfers", "scores", "verdicts") for what in ("updated", "deleted")
    }
    assert await KeptDays(database).kept(datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)) == {}
