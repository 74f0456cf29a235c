"""The voices that PersonaPlex publishes, and what an operator's own may be called."""

import re
from collections.abc import Collection
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


OWN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}")
"""What the engine takes for a voice file's name."""


def check_voice(name: str, own: Collection[str] = ()) -> None:
    """See that a voice is published, or one of the operator's ``own``.

    Raises:
        CardError: it is neither; the message names the nearest.
    """
    if name in VOICES or name in own:
        return
    near = (get_close_matches(name, own, n=1) or get_close_matches(name.upper(), VOICES, n=1, cutoff=0))[0]
    raise CardError(
        f"voice: there is no voice {name!r}; published are NATF0-3, NATM0-3, VARF0-4 and VARM0-4, "
        f"voices of your own are named in PARLEY_OWN_VOICES; try {near}."
    )
