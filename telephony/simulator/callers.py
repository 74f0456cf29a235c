"""Who is on the phone: somebody who says recordings or sentences, one step after another.

Say, Wait, Pause, Press, HangUp ──▶ ScriptedCaller ──tick──▶ 20 ms of voice
                                          ▲ hears the agent
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from telephony.media import PHONE
from telephony.simulator.hearing import AgentEar
from telephony.simulator.result import SpokenLine

Pcm8k = NDArray[np.int16]
"""[N] int16 at 8 kHz."""

PACKET_SAMPLES = PHONE.sample_hz * PHONE.packet_ms // 1000
SILENCE: Pcm8k = np.zeros(PACKET_SAMPLES, np.int16)
_AFTER_LINE_MS = 60  # an agent heard this long after our line ended was not just being cut off
_KEY_MS = 200
_LONGEST_LISTEN_MS = 60_000


@dataclass(frozen=True, slots=True)
class Act:
    """What the caller does in one tick: [160] int16 said, a key pressed, the receiver put down."""

    pcm: Pcm8k = field(default_factory=lambda: SILENCE)
    digit: str = ""
    hang_up: bool = False


class Caller(Protocol):
    """What the caller does, 20 ms at a time."""

    def tick(self, at_ms: int, ear: AgentEar) -> Act:
        """Return what is done in the 20 ms from ``at_ms`` (media time); ``ear`` has heard the agent up to then."""
        ...

    def lines(self) -> tuple[SpokenLine, ...]:
        """What was begun so far; a line that is not finished ends now."""
        ...


@dataclass(frozen=True, slots=True)
class Say:
    """Say ``pcm`` [N] int16. By default the agent may finish first; else it begins ``after_agent_ms`` into the
    agent's speech, or at the media time ``at_ms``."""

    text: str
    pcm: Pcm8k
    kind: str = "say"
    after_agent_ms: int | None = None
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the agent to finish, at most ``limit_ms`` for it to begin (the caller's patience if None)."""

    limit_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Be silent for ``ms``."""

    ms: int


@dataclass(frozen=True, slots=True)
class Press:
    """Press keys, 200 ms apart."""

    digits: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Put the receiver down."""


Step = Say | Wait | Pause | Press | HangUp


class ScriptedCaller:
    """Takes its steps in order; after the last it lets the agent finish and hangs up."""

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        patience_ms: int = 8_000,
        settle_ms: int = 800,
        background: Pcm8k | None = None,
    ) -> None:
        """``patience_ms``: how long it waits for the agent to begin; ``settle_ms``: the silence that means the agent
        has finished; ``background``: noise under the whole call, repeated as needed."""
        self._steps = tuple(steps)
        self._patience_ms = patience_ms
        self._settle_ms = settle_ms
        self._background = background if background is not None and background.size else None
        self._lines: list[SpokenLine] = []
        self._said_until_ms = 0
        self._now_ms = 0
        self._ear = AgentEar()
        self._life = self._live()

    def tick(self, at_ms: int, ear: AgentEar) -> Act:
        self._now_ms, self._ear = at_ms, ear
        act = next(self._life, Act(hang_up=True))
        if self._background is None or act.hang_up:
            return act
        where = np.arange(at_ms * PHONE.sample_hz // 1000, at_ms * PHONE.sample_hz // 1000 + PACKET_SAMPLES)
        noise = self._background[where % self._background.size]
        mixed = np.clip(act.pcm.astype(np.int32) + noise, -32_768, 32_767).astype(np.int16)
        return Act(mixed, act.digit)

    def lines(self) -> tuple[SpokenLine, ...]:
        until_ms = self._now_ms + PHONE.packet_ms
        return tuple(replace(line, end_ms=min(line.end_ms, until_ms)) for line in self._lines)

    def _live(self) -> Generator[Act]:
        for step in self._steps:
            match step:
                case Say():
                    yield from self._say(step)
                case Wait(limit_ms):
                    yield from self._wait(limit_ms)
                case Pause(ms):
                    yield from self._silence(ms)
                case Press(digits):
                    for digit in digits:
                        yield Act(digit=digit)
                        yield from self._silence(_KEY_MS)
                case HangUp():
                    return
        yield from self._wait(None)

    def _say(self, step: Say) -> Generator[Act]:
        if step.at_ms is not None:
            yield from self._silence(step.at_ms - self._now_ms)
        elif step.after_agent_ms is not None:
            yield from self._wait_into_agent(step.after_agent_ms)
        else:
            yield from self._wait(None)
        self._said_until_ms = self._now_ms + step.pcm.size * 1000 // PHONE.sample_hz
        self._lines.append(SpokenLine(step.text, step.kind, self._now_ms, self._said_until_ms))
        for begin in range(0, step.pcm.size, PACKET_SAMPLES):
            part = step.pcm[begin : begin + PACKET_SAMPLES]
            yield Act(np.pad(part, (0, PACKET_SAMPLES - part.size)))

    def _wait(self, limit_ms: int | None) -> Generator[Act]:
        """Until the agent was heard since our last line and has been quiet, never began, or talks for ever."""
        until_ms = self._now_ms + (self._patience_ms if limit_ms is None else limit_ms)
        while not self._agent_spoke() and self._now_ms < until_ms:
            yield Act()
        until_ms = self._now_ms + _LONGEST_LISTEN_MS
        while self._now_ms < until_ms and self._agent_spoke() and self._ear.quiet_ms < self._settle_ms:
            yield Act()

    def _wait_into_agent(self, after_ms: int) -> Generator[Act]:
        """Until the agent's current (or next) speech has gone on for ``after_ms``, or never began."""
        until_ms = self._now_ms + self._patience_ms
        while not self._ear.speaking and self._now_ms < until_ms:
            yield Act()
        began_ms = self._ear.last_start_ms if self._ear.speaking else None
        while began_ms is not None and self._now_ms < began_ms + after_ms:
            yield Act()

    def _agent_spoke(self) -> bool:
        return self._ear.last_loud_ms > self._said_until_ms + _AFTER_LINE_MS

    def _silence(self, ms: int) -> Generator[Act]:
        until_ms = self._now_ms + ms
        while self._now_ms < until_ms:
            yield Act()


def background_under(speech: Sequence[Pcm8k], noise: Pcm8k, snr_db: float) -> Pcm8k:
    """Return ``noise`` scaled so that it lies ``snr_db`` under the speech's level where it is not silent."""
    loud = np.concatenate([np.zeros(0), *speech])
    loud = loud[np.abs(loud) > 0.02 * np.abs(loud).max(initial=0)]
    noise_rms = float(np.sqrt(np.mean(np.square(noise, dtype=np.float64)))) if noise.size else 0.0
    if not loud.size or noise_rms == 0:
        return np.zeros(0, np.int16)
    gain = float(np.sqrt(np.mean(loud**2))) / noise_rms / 10 ** (snr_db / 20)
    return np.clip(np.rint(noise * gain), -32_768, 32_767).astype(np.int16)
