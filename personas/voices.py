"""The voices that PersonaPlex publishes."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from personas.errors import CardError


@dataclass(frozen=True, slots=True)
class Voice:
    """A published voice; "natural" ones sound like conversation, "varied" ones are more diverse."""

    name: str
    gender: Literal["female", "male"]
    kind: Literal["natural", "varied"]


def _family(
    prefix: str, gender: Literal["female", "male"], kind: Literal["natural", "varied"], count: int
) -> list[Voice]:
    return [Voice(f"{prefix}{number}", gender, kind) for number in range(count)]


VOICES: dict[str, Voice] = {
    voice.name: voice
    for voice in (
        *_family("NATF", "female", "natural", 4),
        *_family("NATM", "male", "natural", 4),
        *_family("VARF", "female", "varied", 5),
        *_family("VARM", "male", "varied", 5),
    )
}


def check_voice(name: str) -> Voice:
    """Return the published voice of this name.

    Raises:
        CardError: there is none; the message names the nearest.
    """
    voice = VOICES.get(name)
    if voice is None:
        near = get_close_matches(name.upper(), VOICES, n=1, cutoff=0)[0]
        raise CardError(
            f"voice: there is no voice {name!r}; published are NATF0-3, NATM0-3, VARF0-4 and VARM0-4, try {near}."
        )
    return voice
