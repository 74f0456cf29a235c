"""A small cascade for tests: a recogniser of known phrases, a responder that says what it heard, a real voice.

A call is driven faster than real time: a session's clock is its frames.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

from agent.duplex import FRAME_MS, FRAME_SAMPLES, AgentFrame, RoleCard, RolePrompt
from agent.engines.cascade.engine import CascadeEngine
from agent.engines.cascade.espeak import Espeak
from agent.engines.cascade.ports import Reply, Transcript, Word
from agent.engines.cascade.session import CascadeSession
from agent.engines.cascade.voice import EmbeddedVoice
from agent.engines.cascade.voice_hum import hum
from agent.engines.cascade.voice_sound import Kind

CARD = RoleCard(
    agent_name="Dana",
    company="Northwind Waste",
    role="dispatcher",
    greeting="Northwind Waste, this is Dana. How can I help you?",
    unknown_say="I don't know that.",
    off_topic_say="Let's stay with your waste.",
    rude_say="I want to help.",
    closing_say="Thank you for calling. Goodbye!",
)
ROLE = RolePrompt(text="You are Dana.", voice="NATM1", card=CARD)
LONG_ANSWER = (
    "We collect on Tuesdays and on Fridays, between seven in the morning and noon, and if you miss us "
    "you can bring it to our yard on Mill Road, which is open until six in the evening on every working day."
)

NEVER = 10**9

Sound = NDArray[np.float32]
"""[N] float32 at 24 kHz."""


class PhraseRecogniser:
    """Knows some phrases by their sound; ``gate`` holds it up."""

    def __init__(self, sounds: dict[str, Sound]) -> None:
        self._known = {text: resample_poly(sound, 1, 3) for text, sound in sounds.items()}
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail = False

    async def start(self) -> None: ...

    async def open(self, card: RoleCard) -> "PhraseRecogniser":
        return self

    async def close(self) -> None: ...

    async def transcribe(self, audio: NDArray[np.int16]) -> Transcript:
        await self.gate.wait()
        if self.fail:
            raise RuntimeError("the recogniser broke")
        found = []
        for text, known in self._known.items():
            at, likeness = _find(known, audio / 32_768)
            if likeness > 0.8:
                found.append((at, text, len(known)))
        words = []
        for at, text, length in sorted(found):
            parts = text.split()
            for n, part in enumerate(parts):
                start = (at + n * length // len(parts)) / 8
                words.append(Word(part, round(start), round(start + length / len(parts) / 8), 0.9))
        return Transcript(tuple(words))


def _find(known: Sound, audio: Sound) -> tuple[int, float]:
    if len(audio) < len(known):
        audio = np.pad(audio, (0, len(known) - len(audio)))
    product = fftconvolve(audio, known[::-1], "valid")
    energy = fftconvolve(audio**2, np.ones(len(known)), "valid")
    likeness = product / (np.sqrt(np.maximum(energy, 1e-6)) * np.linalg.norm(known))
    at = int(np.argmax(likeness))
    return at, float(likeness[at])


@dataclass
class EchoResponder:
    """Says back what it heard, at length when asked about collection, and hangs up on a goodbye."""

    heard: list[str] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None: ...

    async def open(self, card: RoleCard) -> "EchoResponder":
        self._card = card
        return self

    async def close(self) -> None: ...

    def opening(self) -> Reply:
        return Reply(self._card.greeting, "greeting")

    async def reply(self, heard: Transcript) -> AsyncIterator[Reply]:
        self.heard.append(heard.text)
        await self.gate.wait()
        if not heard.words:
            yield Reply("Sorry, I didn't catch that.", "unclear")
        elif "collect" in heard.text:
            yield Reply(LONG_ANSWER, "collection")
        elif "goodbye" in heard.text:
            yield Reply("Goodbye, then.", "goodbye", ends_call=True)
        else:
            yield Reply(f"You said {heard.text}.", "echo")

    def was_cut_off(self, spoken: str) -> None:
        self.cut_off.append(spoken)


class Caller:
    """A synthetic caller's sounds."""

    def __init__(self) -> None:
        self._espeak = Espeak()
        self._said: dict[tuple[str, str], Sound] = {}

    def say(self, text: str, voice: str = "en-us") -> Sound:
        """Speak ``text``, the same each time (eSpeak itself varies)."""
        if (text, voice) not in self._said:
            self._said[text, voice] = self._speak(text, voice)
        return self._said[text, voice]

    def _speak(self, text: str, voice: str) -> Sound:
        spoken = self._espeak.synthesise(text, voice)
        sound = resample_poly(spoken.samples / 32_768, 160, 147)
        loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
        sound = sound[loud[0] : loud[-1] + 1]
        return (0.08 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)

    def hum(self, kind: Kind) -> Sound:
        sound = hum("Mm-hmm.", kind).audio
        return (0.08 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


class Call:
    """A running call; ``frames`` are all that the agent answered."""

    def __init__(self, session: CascadeSession, line_noise: float = 0.0003) -> None:
        self.session = session
        self.frames: list[AgentFrame] = []
        self._reader = aiter(session.frames())
        self._noise = np.random.default_rng(7)
        self._line_noise = line_noise

    @property
    def now_ms(self) -> int:
        return len(self.frames) * FRAME_MS

    async def hear(self, sound: Sound, settle: bool = True) -> None:
        """Let the caller make ``sound``, to its end and to the next whole frame.

        Without ``settle``, what is under way is given a moment a frame, and need not end.
        """
        for start in range(0, len(sound), FRAME_SAMPLES):
            piece = sound[start : start + FRAME_SAMPLES]
            await self._frame(np.pad(piece, (0, FRAME_SAMPLES - len(piece))), settle)

    async def wait(self, length_ms: int) -> None:
        await self.hear(np.zeros(length_ms * 24, np.float32))

    async def until(self, met: Callable[[AgentFrame], bool], limit_ms: int = 30_000) -> AgentFrame:
        """Keep silent until a frame of the agent's meets a condition."""
        for _ in range(limit_ms // FRAME_MS):
            await self.wait(FRAME_MS)
            if met(self.frames[-1]):
                return self.frames[-1]
        raise AssertionError("it never happened")

    async def until_quiet(self, length_ms: int = 800) -> None:
        """Keep silent until the agent has been silent for so long."""
        quiet = 0
        for _ in range(400):
            await self.wait(FRAME_MS)
            quiet = 0 if self.frames[-1].audio.any() else quiet + FRAME_MS
            if quiet >= length_ms:
                return
        raise AssertionError("the agent never fell silent")

    async def _frame(self, sound: Sound, settle: bool) -> None:
        noise = self._noise.normal(0, self._line_noise, FRAME_SAMPLES).astype(np.float32)
        self.session.push(sound + noise)
        self.frames.append(await anext(self._reader))
        if settle:
            await self.session.settled()
        else:
            await asyncio.sleep(0.001)

    def text(self, first_ms: int = 0) -> str:
        return "".join(frame.text for frame in self.frames[first_ms // FRAME_MS :]).strip()

    def heard(self) -> str:
        return " ".join(word.text for frame in self.frames for word in frame.heard)

    def silence_after(self, at_ms: int, length_ms: int = 500) -> int:
        """Return how long after ``at_ms`` the agent's next ``length_ms`` of silence begin, as the caller hears it;
        NEVER if they don't.

        The answer to a frame can be sent when that frame is over: a frame after its place here.
        """
        audio = np.concatenate([np.zeros(FRAME_SAMPLES, np.float32), *(frame.audio for frame in self.frames)])
        loud = np.flatnonzero(np.abs(audio[at_ms * 24 :]) > 1e-4)
        ends = np.append(loud, len(audio) - at_ms * 24)
        previous = -1
        for sample in ends:
            if sample - previous > length_ms * 24:
                return (previous + 1) // 24
            previous = int(sample)
        return NEVER


@pytest.fixture(scope="session")
def caller() -> Caller:
    return Caller()


@pytest.fixture
def recogniser(caller: Caller) -> PhraseRecogniser:
    phrases = ("when do you collect glass", "no wait I want to ask about paper", "my question is about", "the new bins")
    phrases += ("yeah", "okay", "wait", "goodbye now")
    return PhraseRecogniser({text: caller.say(text) for text in phrases})


@pytest.fixture
def responder() -> EchoResponder:
    responder = EchoResponder()
    responder.gate.set()
    return responder


@pytest.fixture
async def engine(recogniser: PhraseRecogniser, responder: EchoResponder) -> AsyncIterator[CascadeEngine]:
    engine = CascadeEngine(recogniser, responder, EmbeddedVoice("espeak"), slots=2)
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture
async def open_call(engine: CascadeEngine) -> AsyncIterator[Callable[[], Awaitable[Call]]]:
    sessions = []

    async def open_one() -> Call:
        session = await engine.open(ROLE)
        sessions.append(session)
        await session.ready()
        await session.settled()
        return Call(session)

    yield open_one
    for session in sessions:
        await session.close()


@pytest.fixture
async def call(open_call: Callable[[], Awaitable[Call]]) -> Call:
    return await open_call()
