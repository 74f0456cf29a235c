"""How fast the cascade answers: real calls in real time, and what their response onset is made of.

caller's frame every 80 ms ──▶ DuplexSession ──▶ first audible frame: onset
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.bench.callers import BenchError, Callers
from agent.duplex import FRAME_MS, FRAME_SAMPLES, AgentFrame, DuplexEngine, DuplexSession, Samples, load_engine
from agent.role import role_for
from personas.persona import PersonaCard
from telephony.audio.resample import Upsampler

_QUESTIONS = 3
_SETTLED_FRAMES = 10
_LONGEST_WAIT_FRAMES = 250
_LINE_NOISE = 2e-4
_AUDIBLE = 1e-4


@dataclass(frozen=True, slots=True)
class Onset:
    """One response: ms from the end of the caller's speech to the agent's first sound, and the engine's own parts."""

    onset_ms: float
    parts: Mapping[str, float] = field(default_factory=dict)


async def talk_live(
    cards: Sequence[PersonaCard], callers: Callers, calls: int, options: Mapping[str, str], done: Callable[[], None]
) -> list[Onset]:
    """Hold ``calls`` calls one after another, three questions each; calls ``done`` after each call.

    Raises:
        EngineUnavailable: the cascade does not start.
        BenchError: a call got no answer.
    """
    engine = load_engine("cascade", options)
    await engine.start()
    onsets: list[Onset] = []
    try:
        for number in range(calls):
            card, voice = cards[number % len(cards)], callers.voices[number % len(callers.voices)]
            onsets += await _one_call(engine, card, callers, voice)
            done()
    finally:
        await engine.close()
    return onsets


async def _one_call(engine: DuplexEngine, card: PersonaCard, callers: Callers, voice: str) -> list[Onset]:
    session = await engine.open(role_for(card))
    try:
        await session.ready()
        line = _Line(session)
        await line.until_quiet()
        onsets = []
        for question in card.test_questions[:_QUESTIONS]:
            sound = await asyncio.to_thread(_frames_of, callers, question.ask, voice)
            onsets.append(await line.ask(*sound))
            await line.until_quiet()
        return onsets
    finally:
        await session.close()


def _frames_of(callers: Callers, text: str, voice: str) -> tuple[list[Samples], float]:
    """Return a question's frames and how far before their end its last sound lies, in ms."""
    sound = Upsampler().process(callers.phone(text, voice, None))
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1]
    short = -len(sound) % FRAME_SAMPLES
    sound = np.pad(sound, (0, short))
    return list(sound.reshape(-1, FRAME_SAMPLES)), short * FRAME_MS / FRAME_SAMPLES


class _Line:
    """Carries frames both ways in real time, on the clock of the event loop."""

    def __init__(self, session: DuplexSession) -> None:
        self._session = session
        self._answers = aiter(session.frames())
        self._next_s = asyncio.get_running_loop().time()
        self._noise = _noise()

    async def _exchange(self, frame: Samples | None) -> AgentFrame:
        """Send a frame when its 80 ms are over; return the answer."""
        self._next_s += FRAME_MS / 1000
        await asyncio.sleep(self._next_s - asyncio.get_running_loop().time())
        noise = next(self._noise)
        self._session.push(noise if frame is None else frame + noise)
        return await anext(self._answers)

    async def ask(self, frames: Sequence[Samples], early_ms: float) -> Onset:
        """Say a question; return how long after its last sound the agent began."""
        for frame in frames:
            await self._exchange(frame)
        ended_s = self._next_s - early_ms / 1000
        for _ in range(_LONGEST_WAIT_FRAMES):
            answer = await self._exchange(None)
            loud = np.flatnonzero(np.abs(answer.audio) > _AUDIBLE)
            if len(loud):
                now_s = asyncio.get_running_loop().time()  # a frame is sent on when it is there, and plays from then
                first_ms = loud[0] * FRAME_MS / FRAME_SAMPLES
                return Onset((now_s - ended_s) * 1000 + first_ms, answer.timings)
        raise BenchError("The agent did not answer a question within 20 seconds.")

    async def until_quiet(self) -> None:
        """Be silent until the agent has been silent for 0.8 s."""
        quiet = 0
        for _ in range(_LONGEST_WAIT_FRAMES * 2):
            answer = await self._exchange(None)
            quiet = 0 if answer.audio.any() else quiet + 1
            if quiet >= _SETTLED_FRAMES:
                return
        raise BenchError("The agent did not stop speaking for 40 seconds.")


def _noise() -> Iterator[Samples]:
    random = np.random.default_rng(0)
    while True:
        yield random.normal(0, _LINE_NOISE, FRAME_SAMPLES).astype(np.float32)
