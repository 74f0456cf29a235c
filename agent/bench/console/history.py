"""A made-up history of a contact center, as rows by table: the same for the same seed, counted from one moment.

cards ──▶ a stock of conversations ──▶ 90 days of calls: who rang when, what was said, how it ended, its score
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import numpy as np

from crm.call import Scorecard, Transfer, Turn, Verdict
from crm.dynamics import dynamics_of
from crm.floor import Ipu, ipus
from crm.scoring.rubric import rubric, rubric_hash
from crm.scoring.scorecard import summed
from personas.persona import PersonaCard
from personas.prompt import render_role_prompt

DAYS = 90
GATEWAY = "elsewhere:1"
"""A process of another host: a server that starts on this one must not take its live calls for lost."""

Rows = dict[str, list[dict[str, Any]]]
"""By name of the table; what a row leaves out is the column's default."""

_STOCK = 30  # conversations a persona
_ON_DAYS = (1.0, 0.95, 0.9, 0.95, 0.85, 0.4, 0.25)  # Monday first
_AT_HOURS = (1, 1, 1, 1, 1, 2, 6, 18, 45, 70, 75, 65, 50, 60, 70, 68, 60, 45, 28, 18, 12, 8, 4, 2)
_ENDINGS: Mapping[tuple[str, str], float] = {
    ("ended", "caller_hung_up"): 60,
    ("ended", "agent_hung_up"): 22,
    ("ended", "transferred"): 7,
    ("ended", "caller_silent"): 1.6,
    ("ended", "time_limit"): 0.3,
    ("ended", "engine_lost"): 0.3,
    ("ended", "agent_mute"): 0.1,
    ("lost", "gateway_lost"): 0.2,
    ("refused", "engine_full"): 2.5,
    ("refused", "out_of_hours"): 3,
    ("refused", "voicemail"): 1.2,
    ("refused", "abandoned"): 1,
    ("refused", "unknown_number"): 0.7,
    ("refused", "not_published"): 0.1,
}
_TESTS, _RESCORED, _UNSCORED, _STRANGERS = 0.008, 0.04, 0.02, 0.03
_LIVE_SHARE, _MOST_LIVE = 0.0004, 40
_EVENTS = (("digit", "1"), ("recording_failed", ""), ("line_lossy", "1200 ms"), ("agent_late", ""), ("silence", ""))


@dataclass(frozen=True, slots=True)
class Persona:
    """Who answers: the card and its published versions, (id, number, share of the days at which it began)."""

    card: PersonaCard
    versions: Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class _Conversation:
    """What calls are copied from; ``turns`` are ready columns."""

    turns: Sequence[Mapping[str, Any]]
    transfers: Sequence[Transfer]
    dynamics: str
    duration_ms: int
    card: Scorecard
    failed_critical: int


class History:
    """Makes calls of ``DAYS`` days up to ``until``, oldest first; a second batch falls into the same days."""

    def __init__(self, personas: Sequence[Persona], until: datetime, seed: int = 0) -> None:
        self._personas = personas
        self._until = until
        self._seed = seed
        random = Random(seed)  # noqa: S311
        self._stock = [[_conversation(each.card, random) for _ in range(_STOCK)] for each in personas]
        self._prompts = [render_role_prompt(each.card) for each in personas]
        self._hashes = [rubric_hash(rubric(each.card)) for each in personas]
        self._busy = [1 / (1 + 0.35 * place) for place in range(len(personas))]

    def batches(self, calls: int, batch: int, *, first: int = 0, size: int = 1_000) -> Iterator[Rows]:
        """Yield ``calls`` calls in pieces of ``size``; ``batch`` tells one filling of a database from another.

        Scores have ids from ``first`` on.
        """
        random = Random(f"{self._seed}/{batch}")  # noqa: S311
        moments = self._moments(calls, batch)
        numbers = max(10, calls // 3)
        score_id = first
        live_from = calls - min(_MOST_LIVE, round(calls * _LIVE_SHARE))
        for begin in range(0, calls, size):
            found: Rows = {}
            for number in range(begin, min(begin + size, calls)):
                is_live = number >= live_from
                at = self._until - timedelta(seconds=random.uniform(5, 300)) if is_live else moments[number]
                score_id = self._call(found, random, at, numbers, score_id, is_live)
            yield found

    def _moments(self, calls: int, batch: int) -> list[datetime]:
        random = np.random.default_rng((self._seed, batch))
        begin = self._until - timedelta(DAYS)
        days = [begin + timedelta(day) for day in range(DAYS)]
        busy = np.array([_ON_DAYS[day.weekday()] for day in days])[:, None] * np.array(_AT_HOURS)[None, :]
        slots = random.choice(busy.size, calls, p=(busy / busy.sum()).ravel())
        seconds = (slots // 24) * 86_400 + (slots % 24) * 3_600 + random.uniform(0, 3_600, calls)
        midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        last = (self._until - midnight).total_seconds() - 600
        return [midnight + timedelta(seconds=round(float(at), 6)) for at in np.sort(np.minimum(seconds, last))]

    def _call(self, found: Rows, random: Random, at: datetime, numbers: int, score_id: int, is_live: bool) -> int:
        which = random.choices(range(len(self._personas)), self._busy)[0]
        persona, talk = self._personas[which], random.choice(self._stock[which])
        (status, outcome), *_ = random.choices(list(_ENDINGS), list(_ENDINGS.values()))
        status, outcome = ("live", "") if is_live else (status, outcome)
        age = 1 - (self._until - at) / timedelta(DAYS)
        version_id = next(id for id, since in reversed(persona.versions) if age >= since or since == 0)
        is_test = not is_live and random.random() < _TESTS
        call_id = f"{random.getrandbits(128):032x}"
        row: dict[str, Any] = {
            "id": call_id,
            "carrier": "browser" if is_test else "twilio",
            "carrier_call_id": f"CA{random.getrandbits(128):032x}",
            "account_id": "admin" if is_test else "AC0123456789abcdef0123456789abcdef",
            "from_number": "" if is_test else _caller(random, numbers),
            "to_number": f"+1555010{which:04}",
            "persona_slug": persona.card.slug,
            "persona_version_id": version_id,
            "persona_title": persona.card.title,
            "engine": "cascade",
            "status": status,
            "outcome": outcome,
            "role_prompt": self._prompts[which],
            "gateway": GATEWAY,
            "created_at": at,
            "is_test": is_test,
        }
        if outcome in ("unknown_number", "not_published"):
            row |= {"persona_slug": None, "persona_version_id": None, "persona_title": "", "role_prompt": ""}
        found.setdefault("calls", []).append(row)
        nonce = {"nonce_hash": hashlib.sha256(call_id.encode()).hexdigest(), "call_id": call_id, "created_at": at}
        if status == "refused":
            row |= {"ended_at": at, "reason": "All lines were taken." if outcome == "engine_full" else ""}
            return score_id
        row["answered_at"] = at + timedelta(seconds=1)
        found.setdefault("call_nonces", []).append(nonce | {"used_at": row["answered_at"]})
        if is_live:
            return score_id
        row |= {"ended_at": at + timedelta(milliseconds=talk.duration_ms), "duration_ms": talk.duration_ms}
        row |= {"recording": f"{at:%Y/%m/%d}/{call_id}.wav", "dynamics": talk.dynamics, "turn_count": len(talk.turns)}
        row["timing"] = json.dumps({name: random.randrange(20, 400) for name in ("endpoint_ms", "voice_ms")})
        found.setdefault("turns", []).extend({"call_id": call_id, **turn} for turn in talk.turns)
        found.setdefault("transfers", []).extend(_transfers(random, call_id, talk))
        kinds = random.sample(_EVENTS, random.choice((0, 1, 1, 2)))
        found.setdefault("call_events", []).extend(
            {"call_id": call_id, "kind": kind, "at_ms": random.randrange(talk.duration_ms), "detail": detail}
            for kind, detail in (("greeted", ""), *kinds)
        )
        scores = 0 if random.random() < _UNSCORED else 2 if random.random() < _RESCORED else 1
        for _ in range(scores):
            self._score(found, row, talk, score_id, self._hashes[which])
            score_id += 1
        return score_id

    def _score(self, found: Rows, call: dict[str, Any], talk: _Conversation, score_id: int, rubric: str) -> None:
        card, at = talk.card, call["ended_at"] + timedelta(seconds=3)
        call |= {"scored_at": at, "score": card.score, "coverage": card.coverage}
        call["failed_critical"] = talk.failed_critical
        found.setdefault("scores", []).append(
            {
                "id": score_id,
                "call_id": call["id"],
                "persona_version_id": call["persona_version_id"],
                "rubric_hash": rubric,
                "scorer": card.scorer,
                "score": card.score,
                "coverage": card.coverage,
                "created_at": at,
            }
        )
        found.setdefault("verdicts", []).extend(
            {
                "score_id": score_id,
                "position": position,
                "criterion_id": one.criterion_id,
                "text": one.text,
                "verdict": one.result,
                "severity": one.severity,
                "weight": one.weight,
                "quote": one.quote,
                "turn_index": one.turn_index,
                "reason": one.reason,
            }
            for position, one in enumerate(card.verdicts)
        )


def _caller(random: Random, numbers: int) -> str:
    """Return who rings: some withhold their number, many ring once, a few again and again."""
    if random.random() < _STRANGERS:
        return ""
    return f"+1555{int(numbers * random.random() ** 1.6):07}"


def _transfers(random: Random, call_id: str, talk: _Conversation) -> Iterator[dict[str, Any]]:
    late_ms = 10 * round(random.gauss(0, 6))
    for each in talk.transfers:
        yield {"call_id": call_id, "at_ms": each.at_ms, "offset_ms": each.offset_ms + late_ms}


def _conversation(card: PersonaCard, random: Random) -> _Conversation:
    """Return a conversation of 3 to 9 questions with one of the card's facts as answer to each."""
    said: list[tuple[str, str]] = [("agent", card.greeting)]
    for fact in random.choices(card.facts, k=random.randint(3, 9)):
        said += [("caller", random.choice(fact.questions)), ("agent", fact.say)]
    said += [("caller", "thank you that was all bye"), ("agent", card.closing_say)]
    turns: list[Turn] = []
    at_ms = 400
    for side, text in said:
        words, start_ms = text.split(), at_ms
        spoken = [(word, at_ms + 320 * place, at_ms + 320 * place + 300) for place, word in enumerate(words)]
        at_ms = spoken[-1][2]
        turns.append(Turn(side, start_ms, at_ms, text, tuple(spoken)))  # pyright: ignore[reportArgumentType]
        at_ms += 10 * max(-20, round(random.gauss(55, 25)))
    timed = dynamics_of(_ipus(turns, "caller"), _ipus(turns, "agent"), at_ms)
    card_of_it = _scorecard(card, turns, random)
    failed = sum(each.result == "fail" and each.severity == "critical" for each in card_of_it.verdicts)
    return _Conversation(
        [_columns(position, turn) for position, turn in enumerate(turns)],
        timed.transfers,
        json.dumps(timed.summary()),
        at_ms,
        card_of_it,
        failed,
    )


def _ipus(turns: Sequence[Turn], side: str) -> list[Ipu]:
    return ipus(side, [(turn.start_ms, turn.end_ms) for turn in turns if turn.side == side])  # pyright: ignore[reportArgumentType]


def _columns(position: int, turn: Turn) -> dict[str, Any]:
    return {
        "position": position,
        "side": turn.side,
        "start_ms": turn.start_ms,
        "end_ms": turn.end_ms,
        "text": turn.text,
        "words": json.dumps(turn.words),
        "backchannel": turn.backchannel,
    }


def _scorecard(card: PersonaCard, turns: Sequence[Turn], random: Random) -> Scorecard:
    verdicts = []
    for criterion in rubric(card):
        result = random.choices(("pass", "fail", "unresolved", "na"), (45, 3, 8, 44))[0]
        index = random.randrange(0, len(turns), 2)
        quote = turns[index].text if result in ("pass", "fail") else ""
        why = f"Turn {index} says so." if quote else ""
        verdicts.append(
            Verdict(
                criterion.id,
                criterion.text,
                result,  # pyright: ignore[reportArgumentType]
                criterion.severity,
                criterion.weight,
                quote,
                index if quote else None,
                why,
            )
        )
    score, coverage = summed(verdicts)
    return Scorecard("rules-1", "", score, coverage, tuple(verdicts))
