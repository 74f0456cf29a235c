"""Sums over calls, on real databases of both kinds."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from crm.analytics import Analytics, CriterionCount, OutcomeCount, Timing
from crm.call import Scorecard, Side, Transfer, Turn, Verdict
from crm.dynamics import Dynamics, dynamics_of
from crm.floor import Ipu
from crm.reference import binned
from crm.store import CallStore
from crm.tables import CallRow
from personas.db import Database


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
    days = (await figures.figures(until=moment + timedelta(days=1))).days
    assert [(str(day.day), day.calls, day.answered, day.minutes) for day in days] == [
        ("2026-07-01", 1, 1, 1.0),
        ("2026-07-02", 5, 5, 5.0),
    ]
    found = await figures.figures()
    waste, bank = found.personas
    assert (waste.slug, waste.calls, waste.scored, waste.score) == ("waste", 5, 5, 0.8)
    assert (waste.coverage, waste.failed_critical) == (0.5, 1)
    assert (waste.onset_p50_ms, waste.onset_p90_ms) == (400.0, 1_300.0)
    assert (bank.calls, bank.onset_p50_ms, bank.onset_p90_ms) == (1, 500.0, 1_500.0)
    assert found.outcomes == [
        OutcomeCount("ended", "caller_hung_up", 6),
        OutcomeCount("refused", "unknown_number", 1),
    ]
    assert found.criteria == [CriterionCount("role", "Stays the agent.", 5, 1, 0)]
    assert found.timing.p50_ms == 500.0


def measured(*runs: tuple[Side, int, int], duration_ms: int = 20_000) -> Dynamics:
    caller, agent = ([Ipu(who, start, end) for who, start, end in runs if who == side] for side in ("caller", "agent"))
    return dynamics_of(caller, agent, duration_ms)


async def test_timing_is_that_of_all_conversations_together(store: CallStore, new_call):
    conversations = (
        measured(("caller", 0, 1_500), ("agent", 1_600, 3_000), ("caller", 8_000, 9_000), ("agent", 8_500, 9_500)),
        measured(("caller", 0, 2_000), ("agent", 1_000, 2_500), ("agent", 2_800, 4_000), duration_ms=4_500),
        measured(("caller", 0, 1_000), ("caller", 1_500, 2_500), duration_ms=4_000),
    )
    for index, one in enumerate(conversations):
        opened = await store.open_call(new_call(f"CA{index}", persona_slug="waste"))
        await store.claim(f"CA{index}", "AC1", opened.nonce)
        await store.finish(
            opened.call.id,
            status="ended",
            outcome="caller_hung_up",
            duration_ms=one.duration_ms,
            transfers=one.transfers,
            dynamics=one.summary(),
        )
    await store.refuse_call(new_call("CA9", persona_slug=None), "unknown_number", "Nobody answers this number.")
    found = (await Analytics(store.database).figures()).timing
    offsets = [transfer.offset_ms for one in conversations for transfer in one.transfers]
    assert offsets == [100, -500, -1_000]
    assert found.waits == tuple(binned(offsets))
    assert (found.p50_ms, found.p90_ms) == (-500.0, 100.0)
    assert (found.measured, found.unanswered) == (3, 1)
    assert (found.dead_air, found.dead_air_calls) == (2, 1)
    takeovers = [one.takeovers for one in conversations]
    assert found.false_takeover_rate == pytest.approx(
        sum(one.in_speech + one.in_pause for one in takeovers) / sum(one.pauses + one.long_ipus for one in takeovers)
    )
    overlaps = [one.overlap for one in conversations]
    assert found.overlap_share == pytest.approx(
        sum(one.ms for one in overlaps) / sum(one.speech_ms for one in overlaps)
    )
    assert found.overlap_share > 0
    assert found.backchannels_per_minute == 0

    none = (await Analytics(store.database).figures(persona="nobody")).timing
    assert none == Timing((0,) * 17, None, None, 0, 0, 0, 0, None, None, None)
