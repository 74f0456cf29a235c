"""A caller's line to a session in real time: a frame out and a frame in, every 80 ms.

question ─▶ frames, with the line's noise ─▶ DuplexSession ─▶ first audible frame: onset
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.bench.callers import BenchError, Callers
from agent.duplex import FRAME_MS, FRAME_SAMPLES, AgentFrame, DuplexSession, Samples
from telephony.audio.resample import Upsampler

AUDIBLE = 1e-4
AUDIBLE_OF_ANY = 10 ** (-50 / 20)
"""Engines that compute their silence do not make it of zeros."""
_LONGEST_FRAME_S = 10.0
_LONGEST_WAIT_FRAMES = 250
_LINE_NOISE = 2e-4


@dataclass(frozen=True, slots=True)
class Onset:
    """One response: ms from the end of the caller's speech to the agent's first sound, and the engine's own parts."""

    onset_ms: float
    parts: Mapping[str, float] = field(default_factory=dict)


def frames_of(callers: Callers, text: str, voice: str) -> tuple[list[Samples], float]:
    """Return a question's frames and how far before their end its last sound lies, in ms."""
    sound = Upsampler().process(callers.phone(text, voice, None))
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1]
    short = -len(sound) % FRAME_SAMPLES
    sound = np.pad(sound, (0, short))
    return list(sound.reshape(-1, FRAME_SAMPLES)), short * FRAME_MS / FRAME_SAMPLES


class Line:
    """Carries frames both ways in real time, on the clock of the event loop.

    ``said`` is the agent's text since the last question began, in pieces as the engine tells them. Sound under
    ``audible`` counts as silence.
    """

    def __init__(self, session: DuplexSession, audible: float = AUDIBLE) -> None:
        self.said: list[str] = []
        self._session = session
        self._audible = audible
        self._answers = aiter(session.frames())
        self._next_s = asyncio.get_running_loop().time()
        self._noise = _noise()

    async def _exchange(self, frame: Samples | None) -> AgentFrame:
        """Send a frame when its 80 ms are over; return the answer."""
        self._next_s += FRAME_MS / 1000
        await asyncio.sleep(self._next_s - asyncio.get_running_loop().time())
        noise = next(self._noise)
        self._session.push(noise if frame is None else frame + noise)
        try:
            async with asyncio.timeout(_LONGEST_FRAME_S):
                answer = await anext(self._answers)
        except (TimeoutError, StopAsyncIteration):
            raise BenchError(f"The engine left a frame unanswered for {_LONGEST_FRAME_S:g} s.") from None
        self.said += [answer.text] if answer.text else []
        return answer

    async def ask(self, frames: Sequence[Samples], early_ms: float) -> Onset | None:
        """Say a question; return how long after its last sound the agent began, None if not within 20 s."""
        self.said.clear()
        for frame in frames:
            await self._exchange(frame)
        ended_s = self._next_s - early_ms / 1000
        for _ in range(_LONGEST_WAIT_FRAMES):
            answer = await self._exchange(None)
            loud = np.flatnonzero(np.abs(answer.audio) > self._audible)
            if len(loud):
                now_s = asyncio.get_running_loop().time()  # a frame is sent on when it is there, and plays from then
                first_ms = loud[0] * FRAME_MS / FRAME_SAMPLES
                return Onset((now_s - ended_s) * 1000 + first_ms, answer.timings)
        return None

    async def until_quiet(self, quiet_ms: int = 800) -> bool:
        """Be silent until the agent has been silent for so long; return whether it was, within 40 s."""
        quiet = 0
        for _ in range(_LONGEST_WAIT_FRAMES * 2):
            answer = await self._exchange(None)
            quiet = 0 if np.abs(answer.audio).max() > self._audible else quiet + FRAME_MS
            if quiet >= quiet_ms:
                return True
        return False


def _noise() -> Iterator[Samples]:
    random = np.random.default_rng(0)
    while True:
        yield random.normal(0, _LINE_NOISE, FRAME_SAMPLES).astype(np.float32)
