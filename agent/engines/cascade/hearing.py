"""What the caller said: utterances found, recognised while the caller pauses, and handed on when the turn is over.

speech ──200 ms of silence──▶ recognise ──▶ end of turn? ──▶ Heard
                                  └── the caller goes on: forget it, and recognise all of it at the next pause
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.duplex import HeardWord
from agent.engines.cascade.activity import Window
from agent.engines.cascade.ports import PHONE_HZ, Pcm8k, RecogniserSession, Transcript
from agent.engines.cascade.turns import LONG_MS, Hearing, Turns, Utterance, hangover_ms

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

_BEFORE_MS, _AFTER_MS = 250, 200
_MEMORY_MS = 32_000
_PARTS_HANGOVER_MS = 500
_MOST_PARTS = 8


@dataclass(slots=True)
class Part:
    """A stretch of one turn and, once it is there, what it says; ``told`` when its words were handed on before."""

    utterance: Utterance
    offset_ms: int
    transcript: Transcript | None = None
    dropped: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """One turn of the caller. ``endpoint_ms`` and ``decode_ms`` are what its end and its recognition cost."""

    utterance: Utterance
    transcript: Transcript
    words: tuple[HeardWord, ...]
    endpoint_ms: int
    decode_ms: int
    parts: tuple[Part, ...] = field(repr=False)


class Listener:
    """Listens to one caller. ``recogniser`` may not be open yet; what is said meanwhile waits for it."""

    def __init__(self, recogniser: "asyncio.Future[RecogniserSession]", spawn: Spawn) -> None:
        self._recogniser = recogniser
        self._spawn = spawn
        self._one_at_a_time = asyncio.Lock()
        self._turns = Turns()
        self._memory = np.zeros(0, np.int16)
        self._samples_heard = 0
        self._now_ms = 0
        self._parts: list[Part] = []
        self._current: Part | None = None

    @property
    def speaking(self) -> bool:
        """Whether the caller is in the middle of a turn."""
        return self._turns.speaking

    @property
    def waiting(self) -> bool:
        """Whether something said is not handed on yet."""
        return self.speaking or bool(self._parts)

    @property
    def draft(self) -> Transcript | None:
        """What the caller, who pauses, has said so far; None while it is not known."""
        return self._current.transcript if self._current is not None else None

    def keep(self, pcm: Pcm8k) -> None:
        """Remember the caller's audio, [N] int16 at 8 kHz, to recognise it later."""
        self._memory = np.concatenate([self._memory, pcm])[-_MEMORY_MS * PHONE_HZ // 1000 :]
        self._samples_heard += len(pcm)

    def hear(self, window: Window, is_audible: bool, eager: bool = False) -> None:
        """Take the next window, after its audio was kept; ``eager`` to know soon what a short burst said."""
        self._now_ms = window.end_ms
        change = self._turns.hear(window, is_audible, eager)
        if change is Hearing.PAUSED:
            self._recognise()
        elif change in (Hearing.RESUMED, Hearing.DROPPED) and self._current is not None:
            self._current.dropped = True
            self._current = None

    def _recognise(self) -> None:
        utterance = self._turns.utterance
        first = max(0, utterance.start_ms - _BEFORE_MS) * PHONE_HZ // 1000
        last = (utterance.end_ms + _AFTER_MS) * PHONE_HZ // 1000
        begins = self._samples_heard - len(self._memory)
        first = max(first, begins)
        part = Part(utterance, first * 1000 // PHONE_HZ)
        self._spawn(self._transcribe(part, self._memory[first - begins : last - begins].copy()))
        if utterance.end_ms - utterance.start_ms >= LONG_MS:
            self._turns.finish()
            self._parts = [*self._parts, part][-_MOST_PARTS:]
        else:
            self._current = part

    async def _transcribe(self, part: Part, audio: Pcm8k) -> None:
        recogniser = await self._recogniser
        async with self._one_at_a_time:
            if not part.dropped:
                part.transcript = await recogniser.transcribe(audio)

    def take(self) -> Heard | None:
        """Return the caller's turn if it is over, and begin the next."""
        if any(part.transcript is None for part in self._parts):
            return None
        if self._current is not None and self._current.transcript is not None:
            silence_ms, needed_ms = self._turns.silence_ms, hangover_ms(self._current.transcript)
            if silence_ms < needed_ms:
                return None
            self._turns.finish()
            self._parts.append(self._current)
            self._current = None
        elif self._parts and not self.speaking:
            needed_ms = _PARTS_HANGOVER_MS
            silence_ms = self._now_ms - self._parts[-1].utterance.end_ms
            if silence_ms < needed_ms:
                return None
        else:
            return None
        parts, self._parts = tuple(self._parts), []
        return _joined(parts, min(silence_ms, needed_ms), max(0, silence_ms - needed_ms))

    def give_back(self, heard: Heard) -> None:
        """Take a turn back that was not over after all, or not yet answered: it is joined to what follows."""
        parts = sorted([*heard.parts, *self._parts], key=lambda part: part.utterance.start_ms)
        self._parts = parts[-_MOST_PARTS:]


def _joined(parts: tuple[Part, ...], endpoint_ms: int, decode_ms: int) -> Heard:
    words, new = [], []
    for part in parts:
        transcript = part.transcript or Transcript(())
        words += transcript.words
        if not part.told:
            at = part.offset_ms
            new += [HeardWord(word.text, at + word.start_ms, at + word.end_ms) for word in transcript.words]
        part.told = True
    last = parts[-1].transcript
    alternatives = last.alternatives if last is not None and len(parts) == 1 else ()
    whole = Utterance(
        parts[0].utterance.start_ms,
        parts[-1].utterance.end_ms,
        sum(part.utterance.speech_ms for part in parts),
    )
    return Heard(whole, Transcript(tuple(words), alternatives), tuple(new), endpoint_ms, decode_ms, parts)
