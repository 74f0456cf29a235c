"""Saved states of personas: the values that the store hands out."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from personas.persona import PersonaCard


@dataclass(frozen=True, slots=True)
class PersonaVersion:
    """A role card as it was saved; ``number`` counts 1, 2, … within the persona. A draft has no ``published_at``.

    One with ``tested_at`` is kept as it is: a test call refers to it.
    """

    id: int
    persona_slug: str
    number: int
    card: PersonaCard
    created_at: datetime
    published_at: datetime | None
    note: str = ""
    tested_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PersonaSummary:
    """One line of the list of personas; names are those of the published version, else of the draft."""

    slug: str
    title: str
    agent_name: str
    company: str
    voice: str
    published_version_id: int | None
    published_number: int | None
    published_at: datetime | None
    draft_number: int | None
    numbers: tuple[str, ...]
    archived_at: datetime | None = None


class ImportOutcome(StrEnum):
    """What importing a card did."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    ARCHIVED = "archived"  # the persona was put away: left there
    EDITED = "edited"  # the file is as at its last import, and the persona was edited since: kept


@dataclass(frozen=True, slots=True)
class ImportedCard:
    """A card that was imported and the version that answers calls now; of an archived persona its newest."""

    outcome: ImportOutcome
    version: PersonaVersion


def content_hash(card: PersonaCard) -> str:
    """Return the SHA-256 of what the card says, in hex; fields at their defaults don't count."""
    content = card.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
