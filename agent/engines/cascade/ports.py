"""The three parts of a cascade: recogniser, responder, voice. Audio here is 8 kHz, as the phone carries it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.duplex import RoleCard

PHONE_HZ = 8_000

Pcm8k = NDArray[np.int16]
"""[N] int16 at 8 kHz."""


@dataclass(frozen=True, slots=True)
class Word:
    """A recognised word, timed in milliseconds from the start of the audio that was given."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was recognised. ``words`` is empty when nothing was understood; ``alternatives`` are other readings."""

    words: tuple[Word, ...]
    alternatives: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


class RecogniserSession(Protocol):
    """Recognition for one call, with that call's own vocabulary."""

    async def transcribe(self, audio: Pcm8k) -> Transcript:
        """Recognise one utterance, [N] int16 at 8 kHz, with the silence around it (≤ 30 s)."""
        ...

    async def close(self) -> None: ...


class Recogniser(Protocol):
    async def start(self) -> None: ...

    async def open(self, card: RoleCard) -> RecogniserSession:
        """Prepare for one call; the words of ``card`` make the language model."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A sentence to speak. ``topic`` is the id of the fact or rule it states, or a dialogue act ("unknown",
    "greeting", "goodbye", …); ``ends_call`` asks for a hang-up after it was heard."""

    text: str
    topic: str
    ends_call: bool = False


class ResponderSession(Protocol):
    """The conversation of one call; remembers what was said."""

    def opening(self) -> Reply:
        """Return what the agent says when it picks up."""
        ...

    def reply(self, heard: Transcript) -> AsyncIterator[Reply]:
        """Yield the sentences that answer one utterance of the caller, the first as early as possible."""
        ...

    def was_cut_off(self, spoken: str) -> None:
        """Told that the caller barged in: only ``spoken`` of the last reply was heard."""
        ...


class Responder(Protocol):
    async def start(self) -> None: ...

    async def open(self, card: RoleCard) -> ResponderSession: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word as the voice speaks it, timed from the start of its sentence's audio."""

    text: str
    start_ms: int


@dataclass(frozen=True, slots=True)
class Speech:
    """A sentence made audible: ``audio`` [N] float32 at ``sample_hz`` in [-1, 1], and when its words begin."""

    audio: NDArray[np.float32]
    sample_hz: int
    words: tuple[SpokenWord, ...]


class Voice(Protocol):
    async def start(self) -> None: ...

    async def speak(self, text: str, voice: str) -> Speech:
        """Synthesise one sentence. ``voice`` is a persona's voice name; unknown names get the nearest kind."""
        ...

    async def close(self) -> None: ...
