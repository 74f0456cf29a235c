"""How well a call kept its role: criteria from the card, verdicts with quotes, one score with its coverage.

card ─▶ rubric ─┐
turns ──────────┴▶ facts, conduct ─▶ verdicts ─▶ scorecard ─▶ (judge, of what is open) ─▶ store
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from crm.call import Call, JudgeWait, Scorecard, Turn
from crm.errors import CannotScore, JudgeFailed, JudgeUnavailable
from crm.scoring.controls import ProvenJudge
from crm.scoring.scorecard import score_call
from crm.store import CallStore
from personas.errors import PersonaError
from personas.prompt import render_role_prompt
from personas.store import PersonaStore

log = structlog.get_logger(__name__)

__all__ = ["judge_late", "score_and_store", "score_call"]

JUDGE_AGAIN_AFTER = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
"""Pauses between a judge's tries at a call that it fails at, though it is there; then the call is left to people."""


async def score_and_store(
    store: CallStore, personas: PersonaStore, call_id: str, judge: ProvenJudge | None = None
) -> Scorecard:
    """Score a call with the card of the persona version that answered it, and keep the score beside earlier ones.

    A ``judge`` is asked about what the rules leave open; where it does not answer, the call waits for it.

    Raises:
        UnknownCall: there is no such call.
        CannotScore: no persona answered it, its version is gone, or nobody said anything.
    """
    by_rules = await _scored(store, personas, call_id)
    card, wait = await _judged(by_rules, judge) if judge else (by_rules.card, None)
    await store.save_score(call_id, by_rules.version_id, card, wait)
    return card


async def judge_late(store: CallStore, personas: PersonaStore, call_id: str, judge: ProvenJudge) -> Scorecard | None:
    """Judge a scored call that waits for its judge; None where it goes on waiting, with the score it has.

    Raises: what ``score_and_store`` does.
    """
    by_rules = await _scored(store, personas, call_id)
    card, wait = await _judged(by_rules, judge)
    if wait:
        await store.put_off(call_id, wait.due, wait.tries)
        return None
    if card is by_rules.card:  # there is nothing that a judge could decide
        await store.put_off(call_id, None, 0)
    else:
        await store.save_score(call_id, by_rules.version_id, card)
    return card


@dataclass(frozen=True, slots=True)
class _Scored:
    """A call with the rules' score, and what a judge needs to know."""

    call: Call
    version_id: int
    card: Scorecard
    role: str
    turns: Sequence[Turn]


async def _scored(store: CallStore, personas: PersonaStore, call_id: str) -> _Scored:
    call = await store.call(call_id)
    if call.persona_version_id is None:
        raise CannotScore("No persona answered this call, so there is nothing to score it against.")
    turns = await store.turns(call_id)
    if not turns:
        raise CannotScore("Nothing was said on this call, so there is nothing to score.")
    try:
        version = await personas.version(call.persona_version_id)
    except PersonaError:
        raise CannotScore("The persona version that answered this call is gone.") from None
    card = await asyncio.to_thread(score_call, call, turns, version.card)
    return _Scored(call, version.id, card, call.role_prompt or render_role_prompt(version.card), turns)


async def _judged(scored: _Scored, judge: ProvenJudge) -> tuple[Scorecard, JudgeWait | None]:
    """Return the judged card; or the rules', and what the call has to wait for.

    A judge that is away may be so for long: only where it is there and fails it has used up a try.
    """
    now, tries = datetime.now(UTC), scored.call.judge_tries
    try:
        return await judge.judged(scored.card, scored.role, scored.turns), None
    except JudgeFailed as error:
        log.warning("the judge fails at a call", call_id=scored.call.id, tries=tries + 1, reason=str(error))
        pause = JUDGE_AGAIN_AFTER[tries] if tries < len(JUDGE_AGAIN_AFTER) else None
        return scored.card, JudgeWait(now + pause if pause else None, tries + 1)
    except JudgeUnavailable:
        log.info("call waits for its judge", call_id=scored.call.id)
        return scored.card, JudgeWait(now, tries)
