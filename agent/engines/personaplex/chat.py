"""One call on /api/chat, from the accepted WebSocket to its end.

client ── 01 sound ─▶ SoundReader ─▶ frames ─▶ session.push
client ◀─ 00, 01, 02 ─ SoundWriter ◀─ frames ◀─ session.frames
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from agent.duplex import FRAME_MS, FRAME_SAMPLES, DuplexSession, EngineLost, Samples
from agent.engines.personaplex.metrics import ServerMetrics
from agent.wire.messages import HANDSHAKE, UNSUPPORTED, Sound, WireError, parse, sound_message, text_message
from agent.wire.sound import FrameCutter, sound_reader, sound_writer

MOST_AHEAD_S = 60
"""How much sound a client may send before its time: a file's start is welcome, a file at once is not a call."""

_SEND_S = 10.0
_CLOSE_S = 2.0
_MOST_REASON_BYTES = 123  # RFC 6455 5.5

_NORMAL, _GOING_AWAY, _POLICY, _FAILED, _TRY_LATER = 1000, 1001, 1008, 1011, 1013

_ENDED_BELOW = {_POLICY: "too_much", 1012: "stopped"}
"""What fair_socket closes with, having told the client why; clients close with other codes."""

E = TypeVar("E", bound=Exception)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a role prompt may take, and that a client may send no sound before its slot goes to others."""

    ready_s: float = 30.0
    idle_s: float = 60.0


class _Ended(Exception):
    """The call is over: how for the metrics, and what the client is told; code 0 where nobody is there to tell."""

    def __init__(self, outcome: str, code: int = 0, reason: str = "") -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.code = code
        self.reason = reason


class Chat:
    """Carries one call; ``run`` returns when it is over and its slot is free."""

    def __init__(
        self, socket: WebSocket, session: DuplexSession, *, pcm: bool, limits: Limits, metrics: ServerMetrics
    ) -> None:
        self._socket = socket
        self._session = session
        self._limits = limits
        self._metrics = metrics
        self._reader = sound_reader(pcm)
        self._writer = sound_writer(pcm)
        self._cutter = FrameCutter()
        self._began = time.monotonic()
        self._pushed = 0

    async def run(self) -> None:
        ended = _Ended("failed", _FAILED, "The server failed.")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear())
                group.create_task(self._speak())
        except* _Ended as endings:
            ended = _first(endings, _Ended)
        except* Exception as failures:
            failure = _first(failures, Exception)
            log.error("chat failed", error=type(failure).__name__, exc_info=failure)
        finally:
            await self._session.close()
        self._metrics.ended(ended.outcome)
        log.info("chat ended", outcome=ended.outcome, code=ended.code, frames=self._pushed)
        if ended.code:
            await self._close(ended)

    async def _close(self, ended: _Ended) -> None:
        """Tell the client why, if it still listens."""
        reason = ended.reason.encode()[:_MOST_REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(_CLOSE_S):
                await self._socket.close(ended.code, reason)

    # Hearing

    async def _hear(self) -> None:
        idle_s, clock = self._limits.idle_s, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(idle_s) as patience:
                while True:
                    if await self._take(await self._receive()):
                        patience.reschedule(clock.time() + idle_s)
        except TimeoutError:
            raise _Ended("idle", _POLICY, f"No sound came for {idle_s:g} seconds.") from None
        except WireError as error:
            raise _Ended("client_error", error.code, str(error)) from error

    async def _receive(self) -> bytes | str:
        event = await self._socket.receive()
        if event["type"] == "websocket.disconnect":
            raise _Ended(_ENDED_BELOW.get(event.get("code", 0), "client_left"))
        data = event.get("bytes")
        return event.get("text") or "" if data is None else data

    async def _take(self, message: bytes | str) -> bool:
        """Push what a message completes; return whether that was a frame."""
        sound = parse(message)
        if not isinstance(sound, Sound):
            raise WireError("A client sends sound and nothing else.", UNSUPPORTED)
        any_frame = False
        for samples in self._reader.read(sound.data):
            for frame in self._cutter.cut(samples):
                self._push(frame)
                any_frame = True
            await asyncio.sleep(0)  # other calls have their turn between pages
        return any_frame

    def _push(self, frame: Samples) -> None:
        ahead_s = self._pushed * FRAME_MS / 1000 - (time.monotonic() - self._began)
        if ahead_s > MOST_AHEAD_S:
            raise _Ended(
                "too_fast", _POLICY, f"Sound came {MOST_AHEAD_S} s ahead of its time; send it as it is spoken."
            )
        self._pushed += 1
        self._metrics.frames_in.inc()
        self._session.push(frame)

    # Speaking

    async def _speak(self) -> None:
        try:
            await self._take_in_prompt()
            await self._send(HANDSHAKE)
            await self._say_frames()
        except EngineLost as error:
            raise _Ended("engine_lost", _FAILED, str(error)) from error
        raise _Ended("engine_closed", _GOING_AWAY, "The engine is closing.")

    async def _take_in_prompt(self) -> None:
        try:
            async with asyncio.timeout(self._limits.ready_s):
                await self._session.ready()
        except TimeoutError:
            reason = f"The role prompt was not in after {self._limits.ready_s:g} seconds."
            raise _Ended("prompt_timeout", _TRY_LATER, reason) from None
        self._metrics.ready_s.observe(time.monotonic() - self._began)

    async def _say_frames(self) -> None:
        """Send one frame for each that came in: silence for those that the engine has dropped from a backlog."""
        silence = np.zeros(FRAME_SAMPLES, np.float32)
        said = 0
        async for frame in self._session.frames():
            for _ in range(said, frame.index):
                await self._send(sound_message(self._writer.write(silence)))
            said = frame.index + 1
            if frame.text:
                await self._send(text_message(frame.text))
            await self._send(sound_message(self._writer.write(frame.audio)))
            self._metrics.frames_out.inc()
            if frame.ends_call:
                raise _Ended("agent_ended", _NORMAL, "The agent has ended the call.")

    async def _send(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(_SEND_S):
                await self._socket.send_bytes(message)
        except TimeoutError:
            raise _Ended("client_stuck") from None
        except (WebSocketDisconnect, RuntimeError):
            raise _Ended("client_left") from None


def _first(group: BaseExceptionGroup[E], kind: type[E]) -> E:
    """Return the first failure of a tree of them."""
    first = group.exceptions[0]
    return _first(first, kind) if isinstance(first, BaseExceptionGroup) else first
