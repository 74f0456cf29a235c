"""Sums over calls, on real databases of both kinds."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from crm.analytics import Analytics, CriterionCount, OutcomeCount
from crm.call import CallFilter, Scorecard, Transfer, Turn, Verdict
from crm.store import CallStore
from crm.tables import CallRow
from personas.db import Database

ALL = CallFilter()


async def test_figures_of_many_calls(store: CallStore, database: Database, new_call):
    moment = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    for index in range(6):
        slug = "bank" if index == 5 else "waste"
        opened = await store.open_call(new_call(f"CA{index}", persona_slug=slug))
        await store.claim(f"CA{index}", "AC1", opened.nonce)
        await store.finish(
            opened.call.id,
            status="ended",
            outcome="caller_hung_up",
            duration_ms=60_000,
            turns=[Turn("agent", 0, 1, "hi")],
            transfers=[Transfer(1_000, 100 * index), Transfer(2_000, 1_000 + 100 * index)],
        )
        result = "fail" if index == 0 else "pass"
        verdicts = (
            Verdict("role", "Stays the agent.", result, "critical", 1.0, "", None, ""),
            Verdict("calm", "Stays calm.", "na", "minor", 1.0, "", None, ""),
        )
        await store.save_score(opened.call.id, None, Scorecard("d", "a", 0.0, 1.0, verdicts[1:]))
        await store.save_score(opened.call.id, None, Scorecard("d", "a", float(index > 0), 0.5, verdicts))
        async with database.session() as session:
            at = moment + timedelta(hours=index)
            await session.execute(update(CallRow).where(CallRow.id == opened.call.id).values(created_at=at))
    await store.refuse_call(new_call("CA9", persona_slug=None), "unknown_number", "Nobody answers this number.")

    figures = Analytics(database)
    days = await figures.days(CallFilter(until=moment + timedelta(days=1)))
    assert [(str(day.day), day.calls, day.answered, day.minutes) for day in days] == [
        ("2026-07-01", 1, 1, 1.0),
        ("2026-07-02", 5, 5, 5.0),
    ]
    waste, bank = await figures.personas(ALL)
    assert (waste.slug, waste.calls, waste.scored, waste.score) == ("waste", 5, 5, 0.8)
    assert (waste.coverage, waste.failed_critical) == (0.5, 1)
    assert (waste.onset_p50_ms, waste.onset_p90_ms) == (400.0, 1_300.0)
    assert (bank.calls, bank.onset_p50_ms, bank.onset_p90_ms) == (1, 500.0, 1_500.0)
    assert await figures.outcomes(ALL) == [
        OutcomeCount("ended", "caller_hung_up", 6),
        OutcomeCount("refused", "unknown_number", 1),
    ]
    assert await figures.criteria(ALL) == [CriterionCount("role", "Stays the agent.", 5, 1, 0)]
    pooled = await figures.onset(CallFilter(persona_slug="waste"))
    assert pooled is not None
    assert (pooled.n, pooled.p50_ms, pooled.share_over_700_ms) == (10, 700.0, 0.5)
    near = await figures.divergence(ALL)
    assert near is not None
    assert near.n == 12
    assert 0 < near.null_bits < near.null_p95_bits < 1
    assert await figures.onset(CallFilter(persona_slug="nobody")) is None
