"""Rows of the tables ↔ the values that the store hands out."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row

from crm.call import (
    AskedEnding,
    Call,
    Handoff,
    Hold,
    KnownCaller,
    ListedCall,
    Scorecard,
    ScoreSummary,
    Severity,
    Side,
    StoredScore,
    TimedWord,
    Turn,
    Verdict,
    VerdictResult,
)
from crm.tables import CallRow, ScoreRow, TurnRow, VerdictRow

_CALL_FIELDS = tuple(part.name for part in fields(Call))


def call(row: CallRow | Row[Any]) -> Call:
    """Return the call of a row."""
    values: dict[str, Any] = {name: getattr(row, name) for name in _CALL_FIELDS}
    values |= {"handoff": handoff(row.handoff), "asked": asked(row.asked), "hold": hold(row.hold)}
    values["customer"] = None if row.customer is None else KnownCaller(**row.customer)
    return Call(**values)


def handoff(values: Mapping[str, Any] | None) -> Handoff | None:
    """Return the hand-off of a column."""
    return None if values is None else Handoff(**values)


def asked(values: Mapping[str, Any] | None) -> AskedEnding | None:
    """Return the ending that somebody asked for, of a column."""
    return None if values is None else AskedEnding(**{**values, "handoff": handoff(values["handoff"])})


def hold(values: Mapping[str, Any] | None) -> Hold | None:
    """Return the hold of a column."""
    return None if values is None else Hold(values["reason"], values["by"], datetime.fromisoformat(values["at"]))


def listed(row: Row[Any]) -> ListedCall:
    """Return a call as lists show it, of what ``crm.queries.page_query`` finds."""
    score = None
    if row.scored_at is not None:
        score = ScoreSummary(row.score, row.coverage or 0.0, row.failed_critical or 0)
    return ListedCall(call(row), score, row.turn_count, row.onset_p50_ms)


def turn(row: TurnRow) -> Turn:
    """Return the turn of a row."""
    words = tuple(TimedWord(text, start_ms, end_ms) for text, start_ms, end_ms in row.words)
    return Turn(cast(Side, row.side), row.start_ms, row.end_ms, row.text, words, row.backchannel)


def turn_values(call_id: str, position: int, value: Turn) -> dict[str, Any]:
    """Return the columns of a turn."""
    return {
        "call_id": call_id,
        "position": position,
        "side": value.side,
        "start_ms": value.start_ms,
        "end_ms": value.end_ms,
        "text": value.text,
        "words": [[word.text, word.start_ms, word.end_ms] for word in value.words],
        "backchannel": value.backchannel,
    }


def score(row: ScoreRow, lines: Sequence[VerdictRow]) -> StoredScore:
    """Return the scorecard of a row and its verdicts."""
    card = Scorecard(row.scorer, row.rubric_hash, row.score, row.coverage, tuple(_verdict(line) for line in lines))
    return StoredScore(row.call_id, row.persona_version_id, row.created_at, card)


def verdict_values(score_id: int, position: int, value: Verdict) -> dict[str, Any]:
    """Return the columns of a verdict."""
    values = {part.name: getattr(value, part.name) for part in fields(Verdict)}
    return values | {"score_id": score_id, "position": position, "verdict": values.pop("result")}


def _verdict(row: VerdictRow) -> Verdict:
    return Verdict(
        row.criterion_id,
        row.text,
        cast(VerdictResult, row.verdict),
        cast(Severity, row.severity),
        row.weight,
        row.quote,
        row.turn_index,
        row.reason,
    )
