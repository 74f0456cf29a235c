"""Sums over calls by persona that can be added up: what the figures of many calls are made of.

calls, transfers, verdicts ──sums_of(begin, until)──▶ {persona: Sums} ──add──▶ {persona: Sums} of many days
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import JSON, Boolean, ColumnElement, Integer, Select, case, column, func, join, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm.tables import CallRow, ScoreRow, TransferRow, VerdictRow

Waits = NDArray[np.int32]
"""How often the agent began how long after the caller: [n, 2], offset in ms and count."""
_NO_WAITS: Waits = np.zeros((0, 2), np.int32)
_IN_PARTS = {
    "in_speech": ("takeovers", "in_speech"),
    "in_pause": ("takeovers", "in_pause"),
    "pauses": ("takeovers", "pauses"),
    "long_ipus": ("takeovers", "long_ipus"),
    "both_ms": ("overlap", "ms"),
    "speech_ms": ("overlap", "speech_ms"),
    "heard": ("backchannels", "count"),
    "floor_ms": ("backchannels", "caller_floor_ms"),
}
# PostgreSQL would unpack a call's whole JSON for each value that is taken from it; SQLite remembers it.
_DYNAMICS_OF_CALL = (
    func.json_to_record(CallRow.dynamics)
    .table_valued(
        column("dead_air_count", Integer),
        column("agent_answered", Boolean),
        *(column(name, JSON) for name in ("takeovers", "overlap", "backchannels")),
    )
    .render_derived(name="dynamics_of_call", with_types=True)
)


@dataclass(slots=True)
class Judged:
    """How a criterion was judged in the latest scores of the calls it applied to."""

    text: str = ""
    passed: int = 0
    failed: int = 0
    unresolved: int = 0


@dataclass(slots=True)
class Sums:
    """Sums over one persona's calls. ``score`` and ``coverage`` are summed over those scored, ``numbers`` are by the
    names in ``_calls``, ``endings`` calls by (status, outcome), ``waits`` in pieces.
    """

    title: str = ""
    score: float = 0.0
    coverage: float = 0.0
    numbers: Counter[str] = field(default_factory=Counter)
    endings: Counter[tuple[str, str]] = field(default_factory=Counter)
    criteria: dict[str, Judged] = field(default_factory=dict)
    waits: list[Waits] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return sum(self.endings.values())

    def add(self, other: "Sums") -> None:
        """Add what is of other calls."""
        self.title = max(self.title, other.title)
        self.score += other.score
        self.coverage += other.coverage
        self.numbers.update(other.numbers)
        self.endings.update(other.endings)
        for name, judged in other.criteria.items():
            mine = self.criteria.setdefault(name, Judged())
            mine.text = max(mine.text, judged.text)
            mine.passed += judged.passed
            mine.failed += judged.failed
            mine.unresolved += judged.unresolved
        self.waits += other.waits


Rows = Select[*tuple[Any, ...]]
ByPersona = dict[str, Sums]
"""By slug; "" holds the calls that no persona answered."""


async def sums_of(session: AsyncSession, begin: datetime, until: datetime) -> ByPersona:
    """Return the sums over callers' calls that began from ``begin`` to before ``until``; tests are not counted."""
    inside = CallRow.created_at >= begin, CallRow.created_at < until, CallRow.is_test.is_(False)
    found: ByPersona = {}
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    query, names = _calls(is_sqlite)
    for slug, status, outcome, title, calls, score, coverage, *numbers in await session.execute(query.where(*inside)):
        sums = found.setdefault(slug or "", Sums())
        sums.title = max(sums.title, title)
        sums.endings[status, outcome] += calls
        sums.score += score or 0.0
        sums.coverage += coverage or 0.0
        for name, number in zip(names, numbers, strict=True):
            sums.numbers[name] += int(number or 0)
    waits: dict[str, list[tuple[int, int]]] = {}
    for slug, offset_ms, count in await session.execute(_waits(is_sqlite).where(*inside)):
        waits.setdefault(slug or "", []).append((offset_ms, count))
    for slug, pairs in waits.items():
        found[slug].waits = [np.array(pairs, np.int32)]
    for slug, criterion_id, *judged in await session.execute(_criteria().where(*inside)):
        found[slug or ""].criteria[criterion_id] = Judged(*judged)
    return found


def _calls(is_sqlite: bool) -> tuple[Rows, tuple[str, ...]]:
    """Return the query by persona and ending, and the names of the numbers that it ends with."""
    parts = None if is_sqlite else _DYNAMICS_OF_CALL
    field = (lambda name: CallRow.dynamics[name]) if parts is None else (lambda name: parts.c[name])
    dead_air, answered = field("dead_air_count"), field("agent_answered")
    if parts is None:
        dead_air, answered = dead_air.as_integer(), answered.as_boolean()
    numbers = {
        "answered": func.count(CallRow.answered_at),
        "duration_ms": func.sum(CallRow.duration_ms),
        "scored": func.count(CallRow.score),
        "failed_critical": func.count(case((CallRow.failed_critical > 0, 1))),
        "measured": func.count(dead_air),
        "unanswered": func.count(case((answered.is_(False), 1))),
        "dead_air": func.sum(dead_air),
        "dead_air_calls": func.count(case((dead_air > 0, 1))),
    }
    numbers |= {name: func.sum(field(part)[key].as_integer()) for name, (part, key) in _IN_PARTS.items()}
    group = CallRow.persona_slug, CallRow.status, CallRow.outcome
    means = func.sum(CallRow.score), func.sum(case((CallRow.score.is_not(None), CallRow.coverage)))
    query = select(*group, func.max(CallRow.persona_title), func.count(), *means, *numbers.values()).group_by(*group)
    return query if parts is None else query.join(parts, true()), tuple(numbers)


def _waits(is_sqlite: bool) -> Rows:
    if is_sqlite:
        offset_ms, joined = TransferRow.offset_ms, join(CallRow, TransferRow, TransferRow.call_id == CallRow.id)
    else:  # call by call: PostgreSQL would read the transfers of all days for those of one
        of_call = select(TransferRow.offset_ms).where(TransferRow.call_id == CallRow.id).offset(0).lateral()
        offset_ms, joined = of_call.c.offset_ms, join(CallRow, of_call, true())
    group = CallRow.persona_slug, offset_ms
    return select(*group, func.count()).select_from(joined).group_by(*group)


def _criteria() -> Rows:
    other = aliased(ScoreRow)
    latest = select(func.max(other.id)).where(other.call_id == CallRow.id).correlate(CallRow).scalar_subquery()

    def judged(verdict: str) -> ColumnElement[int]:
        return func.count(case((VerdictRow.verdict == verdict, 1)))

    group = CallRow.persona_slug, VerdictRow.criterion_id
    query = select(*group, func.max(VerdictRow.text), judged("pass"), judged("fail"), judged("unresolved"))
    joined = query.select_from(CallRow).join(VerdictRow, VerdictRow.score_id == latest)
    return joined.where(VerdictRow.verdict != "na").group_by(*group)


def packed(sums: ByPersona) -> tuple[str, bytes]:
    """Return sums as JSON and their waits, [n, 3] int32 of place of the persona in it, offset and count.

    Who changes the form empties ``kept_days`` in a migration: they are counted again.
    """
    plain = {
        slug: {
            "title": each.title,
            "score": each.score,
            "coverage": each.coverage,
            "numbers": each.numbers,
            "endings": [[*ending, calls] for ending, calls in each.endings.items()],
            "criteria": {
                name: [one.text, one.passed, one.failed, one.unresolved] for name, one in each.criteria.items()
            },
        }
        for slug, each in sums.items()
    }
    waits = [np.insert(piece, 0, place, axis=1) for place, each in enumerate(sums.values()) for piece in each.waits]
    return json.dumps(plain), np.concatenate([np.zeros((0, 3), np.int32), *waits]).astype("<i4").tobytes()


def unpacked(text: str, waits: bytes) -> ByPersona:
    """Return what was ``packed``."""
    pieces = np.frombuffer(waits, "<i4").reshape(-1, 3)
    return {
        slug: Sums(
            title=each["title"],
            score=each["score"],
            coverage=each["coverage"],
            numbers=Counter(each["numbers"]),
            endings=Counter({(status, outcome): calls for status, outcome, calls in each["endings"]}),
            criteria={name: Judged(*judged) for name, judged in each["criteria"].items()},
            waits=[pieces[pieces[:, 0] == place, 1:]],
        )
        for place, (slug, each) in enumerate(json.loads(text).items())
    }


def counted(pieces: list[Waits]) -> Waits:
    """Return all waits together, each offset once, in order."""
    every = np.concatenate([_NO_WAITS, *pieces])
    offsets, places = np.unique(every[:, 0], return_inverse=True)
    return np.stack([offsets, np.bincount(places, every[:, 1], len(offsets)).astype(np.int32)], axis=1)
