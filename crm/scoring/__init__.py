"""How well a call kept its role: criteria from the card, verdicts with quotes, one score with its coverage.

card ─▶ rubric ─┐
turns ──────────┴▶ facts, conduct ─▶ verdicts ─▶ scorecard ─▶ (judge, of what is open) ─▶ store
"""

import asyncio

import structlog

from crm.call import Scorecard
from crm.errors import CannotScore, JudgeUnavailable
from crm.scoring.controls import ProvenJudge
from crm.scoring.scorecard import score_call
from crm.store import CallStore
from personas.errors import PersonaError
from personas.prompt import render_role_prompt
from personas.store import PersonaStore

log = structlog.get_logger(__name__)

__all__ = ["score_and_store", "score_call"]


async def score_and_store(
    store: CallStore, personas: PersonaStore, call_id: str, judge: ProvenJudge | None = None
) -> Scorecard:
    """Score a call with the card of the persona version that answered it, and keep the score beside earlier ones.

    A ``judge`` is asked about what the rules leave open; where it does not answer, that stays open.

    Raises:
        UnknownCall: there is no such call.
        CannotScore: no persona answered it, its version is gone, or nobody said anything.
    """
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
    scorecard = await asyncio.to_thread(score_call, call, turns, version.card)
    if judge:
        try:
            scorecard = await judge.judged(scorecard, call.role_prompt or render_role_prompt(version.card), turns)
        except JudgeUnavailable as error:
            log.warning("call is scored without its judge", call_id=call_id, reason=str(error))
    await store.save_score(call_id, version.id, scorecard)
    return scorecard
