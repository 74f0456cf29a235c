"""The port between a call and whatever hears and speaks on it.

    caller's frame, 80 ms ──▶ DuplexSession.push ─┐
                                                  │  one frame in, one frame out, 12.5 times a second
    agent's frame, 80 ms  ◀── DuplexSession.frames ◀─┘

There are no turns here and no "respond": both directions run at once. An engine is a package
``agent.engines.NAME`` with a function ``create(options: Mapping[str, str]) -> DuplexEngine``; it
imports nothing of ours but this module.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

SAMPLE_HZ = 24_000
FRAME_MS = 80
FRAME_SAMPLES = SAMPLE_HZ * FRAME_MS // 1000

Samples = NDArray[np.float32]


class DuplexError(Exception):
    """Something an engine could not do; the message is one sentence for the operator."""


class EngineFull(DuplexError):
    """Every slot of the engine is taken; ``retry_after_s`` is the engine's own guess, if any."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineUnavailable(DuplexError):
    """The engine cannot be reached, is not installed, or was started with options it cannot use."""


class EngineLost(DuplexError):
    """The engine ended a session that the call had not closed."""


@dataclass(frozen=True, slots=True)
class CardFact:
    """One thing the agent knows.

    ``kind`` is one of personas.persona.FactKind's values; ``value`` is what a right answer holds;
    ``say`` is the sentence an agent could speak; ``questions`` are samples of how callers ask.
    """

    id: str
    topic: str
    kind: str
    value: str
    say: str
    questions: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardRule:
    """One thing the agent must or must not do; ``say`` is its answer when ``questions`` are asked."""

    id: str
    kind: str
    text: str
    say: str = ""
    questions: tuple[str, ...] = ()
    forbidden_phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleCard:
    """The persona as plain data, for engines that reason over facts instead of reading a prompt.

    ``customer_name`` and ``customer_profile`` are what is known of the caller, each one line.
    """

    agent_name: str
    company: str
    role: str
    greeting: str
    unknown_say: str
    off_topic_say: str
    rude_say: str
    closing_say: str
    facts: tuple[CardFact, ...] = ()
    rules: tuple[CardRule, ...] = ()
    keywords: tuple[str, ...] = ()
    customer_name: str = ""
    customer_profile: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn; the defaults are the published model's. Temperature 0 is greedy."""

    audio_temperature: float = 0.8
    audio_top_k: int = 250
    text_temperature: float = 0.7
    text_top_k: int = 25


@dataclass(frozen=True, slots=True)
class RolePrompt:
    """Who the agent is on this call. ``text`` is unwrapped: an engine adds its own markers."""

    text: str
    voice: str
    card: RoleCard
    sampling: Sampling = field(default_factory=Sampling)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word of the caller, timed in milliseconds of the session's own input (frame 0 = 0 ms)."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class AgentFrame:
    """What the engine says in one frame.

    ``audio`` is [FRAME_SAMPLES] float32 in [-1, 1], exact zeros where the agent is silent and the
    engine knows it. ``text`` is the piece of text being spoken, with its own leading space, empty
    when none. ``heard`` are the caller's words recognised since the last frame, for engines that
    know them; they may be several seconds old. ``timings`` are the parts of the response delay in
    milliseconds, on the first frame of a response only (e.g. ``{"endpoint_ms": 500, "decode_ms": 120}``).
    ``ends_call`` is set on the frame in which the agent's last sentence has ended: hang up once it was heard.
    """

    index: int
    audio: Samples
    text: str = ""
    heard: tuple[HeardWord, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    ends_call: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many calls the engine carries at once, and how many it carries now."""

    slots: int
    used: int


@runtime_checkable
class DuplexSession(Protocol):
    """One call on the engine."""

    async def ready(self) -> None:
        """Return when the role prompt is in and frames are answered.

        Raises:
            EngineLost: the prompt failed.
        """
        ...

    def push(self, frame: Samples) -> None:
        """Hand in the caller's next 80 ms, [FRAME_SAMPLES] float32 in [-1, 1]; never blocks.

        Frames may be pushed before ``ready``. After ``close`` or loss they are ignored.
        """
        ...

    def frames(self) -> AsyncIterator[AgentFrame]:
        """Yield one frame for each frame pushed, in order, until ``close``; iterate once.

        An engine that is pushed more than it can bear may drop frames of the caller: ``index`` then skips them.

        Raises:
            EngineLost: the session ended on the engine's side.
        """
        ...

    async def close(self) -> None:
        """Free the slot; ends ``frames``. Closing twice is harmless."""
        ...


@runtime_checkable
class DuplexEngine(Protocol):
    """Something that carries calls. ``name`` is its package's name."""

    name: str

    async def start(self) -> None:
        """Load what calls need, so that ``open`` is quick.

        Raises:
            EngineUnavailable: with a sentence that names the remedy.
        """
        ...

    async def open(self, role: RolePrompt) -> DuplexSession:
        """Reserve a slot and start its role prompt; returns at once, before the prompt is in.

        Raises:
            EngineFull: no slot is free.
            EngineUnavailable: the engine is not there.
        """
        ...

    def capacity(self) -> Capacity: ...

    async def close(self) -> None:
        """End every session and free what ``start`` took."""
        ...


def load_engine(name: str, options: Mapping[str, str]) -> DuplexEngine:
    """Import ``agent.engines.NAME`` and create its engine.

    ``options`` are plain strings by setting name without prefix (``data_dir``, ``engine_url``, …);
    an engine reads those it knows and ignores the rest.

    Raises:
        EngineUnavailable: no such engine, or a package it needs is not installed.
    """
    if not name.isidentifier():
        raise EngineUnavailable(f"PARLEY_ENGINE: {name!r} is not an engine's name; choose {_engines()}.")
    package = f"agent.engines.{name}"
    try:
        module = import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise EngineUnavailable(f"PARLEY_ENGINE: there is no engine {name!r}; choose {_engines()}.") from error
        raise EngineUnavailable(
            f"The engine {name!r} needs the package {error.name!r}, which is not installed; "
            f"install Parley with the extra that holds it (see README, Engines)."
        ) from error
    return module.create(options)


def _engines() -> str:
    """Return the names of the folders beside this port, for people."""
    return " or ".join(each.name for each in iter_modules([str(Path(__file__).parent / "engines")]))
