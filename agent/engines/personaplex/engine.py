"""The port's side of the engine: sessions on the event loop, the device in its own thread."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
import torch

from agent.duplex import (
    FRAME_SAMPLES,
    AgentFrame,
    Capacity,
    DuplexError,
    EngineFull,
    EngineLost,
    EngineUnavailable,
    RolePrompt,
    Samples,
)
from agent.engines.personaplex.checkpoint import load_models
from agent.engines.personaplex.graph import check_kernels
from agent.engines.personaplex.loop import Call, Counters, Loop
from agent.engines.personaplex.memory import free_bytes, slots_that_fit
from agent.engines.personaplex.prefill import ImageCache
from agent.engines.personaplex.state import NARROW
from agent.engines.personaplex.ticker import Prepared, Ticker, TickerOptions, on_device
from agent.engines.personaplex.voices import Voices

ANCHOR_S = 60.0
"""Seconds of a long call that are kept when its slot is rebuilt, unless the options say otherwise."""

_UNREAD_FRAMES = 750
"""A minute that nobody reads means that the call is gone; memory stays bounded."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """``checkpoint``: a folder, a Hub id, or one of ``config.SHAPES`` with random weights. 0 slots: all that fit."""

    checkpoint: str
    voices: str
    device: str
    slots: int
    anchor_s: float
    kv: str = ""
    """What keys and values are kept in: ``fp8``, or like the weights if empty."""
    eager: bool = False
    """Ticks of torch's own operations, without a CUDA graph."""

    @classmethod
    def read(cls, options: Mapping[str, str]) -> "EngineOptions":
        """Read ``engine_checkpoint``, ``…_voices``, ``…_device``, ``…_slots``, ``…_anchor_s``, ``…_kv``, ``…_eager``.

        Raises:
            EngineUnavailable: one of them is missing or can't be used.
        """
        checkpoint = options.get("engine_checkpoint", "")
        if not checkpoint:
            raise EngineUnavailable(
                "PARLEY_ENGINE_CHECKPOINT names no model: set it to a folder, to nvidia/personaplex-7b-v1, "
                "or to 'tiny' for a small model with random weights."
            )
        if checkpoint.startswith((".", "~", "/")) and not Path(checkpoint).expanduser().is_dir():
            raise EngineUnavailable(f"PARLEY_ENGINE_CHECKPOINT: there is no folder {checkpoint}.")
        slots = options.get("engine_slots") or "0"
        if not slots.isdecimal():
            raise EngineUnavailable(f"PARLEY_ENGINE_SLOTS must be a whole number from 0 up, not {slots!r}.")
        device = options.get("engine_device") or default_device()
        try:
            anchor_s = float(options.get("engine_anchor_s") or ANCHOR_S)
        except ValueError:
            anchor_s = -1.0
        if not 0 <= anchor_s <= 3600:
            raise EngineUnavailable("PARLEY_ENGINE_ANCHOR_S must be seconds from 0 (off) up.")
        kv = options.get("engine_kv", "")
        if kv not in ("", "fp8"):
            raise EngineUnavailable(f"PARLEY_ENGINE_KV must be fp8, or empty for the weights' precision, not {kv!r}.")
        eager = options.get("engine_eager", "").lower() == "true"
        return cls(checkpoint, options.get("engine_voices", ""), device, int(slots), anchor_s, kv, eager)


class PersonaPlexEngine:
    """Carries many calls on one device."""

    name = "personaplex"

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._loop: Loop | None = None
        self._ticker: Ticker | None = None
        self._sessions: set[PersonaPlexSession] = set()
        self._voices: Voices | None = None

    async def start(self) -> None:
        """Load the models and start the device's thread; see ``agent.duplex.DuplexEngine.start``."""
        if self._loop is None:
            await asyncio.to_thread(self._load)

    def _load(self) -> None:
        device = device_of(self._options.device)
        with on_device(device):
            self._build(device)

    def _build(self, device: torch.device) -> None:
        options = self._options
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        kept = NARROW if options.kv else dtype
        fused = device.type == "cuda" and not options.eager
        try:
            if fused:
                check_kernels(device, kept)
            models = load_models(options.checkpoint, options.voices, device, dtype, fused=fused)
        except EngineUnavailable:
            raise
        except DuplexError as error:
            raise EngineUnavailable(str(error)) from error
        except torch.OutOfMemoryError as error:
            raise EngineUnavailable(f"The model does not fit on {device}; take a larger card.") from error
        if models.is_random:
            log.warning("model has random weights: it babbles, for trying the plumbing only", shape=options.checkpoint)
        free = free_bytes(device)
        slots = slots_that_fit(models, options.slots, kept, spare=options.anchor_s > 0, free=free)
        ticker = Ticker(models, TickerOptions(slots, kept, anchor_s=options.anchor_s, eager=options.eager))
        ticker.warm_up()
        self._voices = models.voices
        self._ticker = ticker
        self._loop = Loop(ticker, models.text)
        self._loop.start()
        log.info("engine ready", device=str(device), slots=slots, checkpoint=options.checkpoint)

    async def open(self, role: RolePrompt) -> "PersonaPlexSession":
        """Take a slot, once the role is known to fit; see ``agent.duplex.DuplexEngine.open``.

        Raises:
            VoiceError, PromptError: the role can't be played.
        """
        ticker, _, _ = self._vacancy()
        voice = self._voices.check(role.voice) if self._voices else role.voice
        prepared = await asyncio.to_thread(ticker.prepare, role, voice)
        _, loop, slot = self._vacancy()  # others may have come, or the engine gone, meanwhile
        session = PersonaPlexSession(loop, self._sessions)
        session.begin(slot, prepared)
        self._sessions.add(session)
        return session

    def _vacancy(self) -> tuple[Ticker, Loop, int]:
        """Return what a call needs, a free slot last; raises where there is none."""
        if self._loop is None or self._ticker is None:
            raise EngineUnavailable("The engine 'personaplex' is not started.")
        if self._loop.failure:
            raise EngineUnavailable(self._loop.failure)
        slot = self._loop.free_slot()
        if slot is None:
            raise EngineFull(f"All {self.capacity().slots} slots of the engine 'personaplex' are taken.")
        return self._ticker, self._loop, slot

    def capacity(self) -> Capacity:
        if self._loop is None or self._ticker is None:
            return Capacity(slots=self._options.slots, used=0)
        return Capacity(slots=self._ticker.slots, used=self._loop.used)

    @property
    def failure(self) -> str:
        """What ended the device's loop, one sentence; empty while it runs."""
        return self._loop.failure if self._loop else ""

    def voices(self) -> list[str]:
        """Return the names of the voices that calls may ask for; none before ``start``."""
        return self._voices.names() if self._voices else []

    @property
    def counters(self) -> Counters:
        """What the device's loop has counted so far."""
        return self._loop.counters if self._loop else Counters()

    @property
    def cache(self) -> ImageCache | None:
        """The kept keys and values of voices and role prompts; none before ``start``."""
        return self._ticker.images if self._ticker else None

    async def close(self) -> None:
        for session in list(self._sessions):
            await session.close()
        if self._loop is not None:
            loop, self._loop, self._ticker = self._loop, None, None
            await asyncio.to_thread(loop.stop)


class PersonaPlexSession:
    """One call."""

    def __init__(self, loop: Loop, open_sessions: "set[PersonaPlexSession]") -> None:
        self._loop = loop
        self._open_sessions = open_sessions
        self._call: Call | None = None
        self._out: asyncio.Queue[AgentFrame | None] = asyncio.Queue()
        self._prompted = asyncio.Event()
        self._loss: EngineLost | None = None
        self._closed = False

    def begin(self, slot: int, role: Prepared) -> None:
        """Hand the call to the device's thread."""
        events = asyncio.get_running_loop()

        def deliver(frame: AgentFrame) -> None:
            events.call_soon_threadsafe(self._hear, frame)

        def report(error: Exception | None) -> None:
            events.call_soon_threadsafe(self._learn, error)

        self._call = Call(slot, role, time.monotonic(), deliver, report)
        self._loop.add(self._call)

    async def ready(self) -> None:
        await self._prompted.wait()
        if self._loss:
            raise self._loss
        if self._closed:
            raise EngineLost("The session was closed before its role prompt was in.")

    def push(self, frame: Samples) -> None:
        """Hand in 80 ms; see ``agent.duplex.DuplexSession.push``.

        Raises:
            ValueError: the frame is not [FRAME_SAMPLES].
        """
        if self._closed or self._loss or self._call is None:
            return
        if frame.shape != (FRAME_SAMPLES,):
            raise ValueError(f"A frame is [{FRAME_SAMPLES}] samples, not {list(frame.shape)}.")
        self._loop.push(self._call, np.clip(np.nan_to_num(frame), -1.0, 1.0).astype(np.float32))

    async def frames(self) -> AsyncIterator[AgentFrame]:
        """Yield what the agent says. A gap in ``index`` is a frame of the caller that was dropped from a backlog."""
        while not self._closed:
            frame = await self._out.get()
            if frame is None:
                self._out.put_nowait(None)  # for whoever else waits
                if self._loss and not self._closed:
                    raise self._loss
                return
            if not self._closed:
                yield frame

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._leave()

    def _leave(self) -> None:
        if self._call:
            self._loop.remove(self._call)
        self._open_sessions.discard(self)
        self._prompted.set()
        self._out.put_nowait(None)

    def _hear(self, frame: AgentFrame) -> None:
        if self._closed or self._loss:
            return
        if self._out.qsize() >= _UNREAD_FRAMES:
            self._learn(EngineLost("The call did not read the engine's audio for a minute."))
        else:
            self._out.put_nowait(frame)

    def _learn(self, error: Exception | None) -> None:
        if self._closed or self._loss:
            return
        if error is None:
            self._prompted.set()
            return
        sentence = str(error) if isinstance(error, DuplexError) else f"The device failed ({type(error).__name__})."
        self._loss = EngineLost(sentence)
        self._leave()


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_of(name: str) -> torch.device:
    """Return the torch device of a setting.

    Raises:
        EngineUnavailable: it is none, or this machine has no such device.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineUnavailable(f"PARLEY_ENGINE_DEVICE: {name!r} is no device; take 'cuda' or 'cpu'.") from error
    if device.type not in ("cpu", "cuda"):
        raise EngineUnavailable(f"PARLEY_ENGINE_DEVICE: {name!r} is not supported; take 'cuda' or 'cpu'.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise EngineUnavailable("PARLEY_ENGINE_DEVICE is 'cuda', but PyTorch finds no CUDA device here.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise EngineUnavailable(f"PARLEY_ENGINE_DEVICE is {name!r}, but the CUDA devices here are 0 to {count - 1}.")
    return device
