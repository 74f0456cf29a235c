"""Cards and transcripts as the plain data that goes between the gateway and its recognition processes."""

import hashlib
from collections.abc import Mapping
from typing import Any

from agent.duplex import CardFact, CardRule, RoleCard
from agent.engines.cascade.ports import Transcript, Word


def card_key(card: RoleCard) -> str:
    """Return a name for the content of ``card``: equal cards, equal keys."""
    return hashlib.sha256(repr(card).encode()).hexdigest()[:32]


def card_of(plain: Mapping[str, Any]) -> RoleCard:
    """Return the card that ``dataclasses.asdict`` made ``plain`` of and JSON carried."""
    parts: dict[str, Any] = dict(plain)
    for name, kind in (("facts", CardFact), ("rules", CardRule)):
        parts[name] = tuple(kind(**{key: _frozen(value) for key, value in part.items()}) for part in plain[name])
    return RoleCard(**{key: _frozen(value) for key, value in parts.items()})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def answer_of(transcript: Transcript) -> dict[str, Any]:
    words = [[word.text, word.start_ms, word.end_ms, word.confidence] for word in transcript.words]
    return {"words": words, "alternatives": transcript.alternatives}


def transcript_of(answer: Mapping[str, Any]) -> Transcript:
    """Return what ``answer_of`` was given."""
    return Transcript(tuple(Word(*word) for word in answer["words"]), tuple(answer["alternatives"]))
