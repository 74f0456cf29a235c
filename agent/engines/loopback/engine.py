"""Repeat the caller, frame by frame, a fixed number of frames later.

push(frame n) ──▶ frames(): frame n with the audio of frame n - delay
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import numpy as np

from agent.duplex import FRAME_SAMPLES, AgentFrame, Capacity, EngineFull, EngineLost, RolePrompt, Samples

_LEAST, _MOST = np.float32(-1), np.float32(1)
_UNREAD_FRAMES = 750
"""A minute that nobody reads means that the call is gone; memory stays bounded."""


class LoopbackEngine:
    """Carries ``slots`` calls; each hears itself ``delay_frames`` frames of 80 ms later."""

    name = "loopback"

    def __init__(self, slots: int, delay_frames: int) -> None:
        self._slots = slots
        self._delay_frames = delay_frames
        self._sessions: set[LoopbackSession] = set()

    async def start(self) -> None:
        return None

    async def open(self, role: RolePrompt) -> "LoopbackSession":
        if len(self._sessions) >= self._slots:
            raise EngineFull(f"All {self._slots} slots of the engine 'loopback' are taken; raise PARLEY_ENGINE_SLOTS.")
        session = LoopbackSession(self._delay_frames, self._sessions)
        self._sessions.add(session)
        return session

    def capacity(self) -> Capacity:
        return Capacity(slots=self._slots, used=len(self._sessions))

    async def close(self) -> None:
        for session in list(self._sessions):
            await session.close()


class LoopbackSession:
    """One caller, repeated."""

    def __init__(self, delay_frames: int, open_sessions: "set[LoopbackSession]") -> None:
        self._delayed: deque[Samples] = deque(np.zeros(FRAME_SAMPLES, np.float32) for _ in range(delay_frames))
        self._out: asyncio.Queue[AgentFrame | None] = asyncio.Queue()
        self._index = 0
        self._open_sessions = open_sessions
        self._closed = False
        self._lost = False

    async def ready(self) -> None:
        return None

    def push(self, frame: Samples) -> None:
        """Repeat ``frame``; see ``agent.duplex.DuplexSession.push``.

        Raises:
            ValueError: the frame is not [FRAME_SAMPLES].
        """
        if self._closed or self._lost:
            return
        if frame.shape != (FRAME_SAMPLES,):
            raise ValueError(f"A frame is [{FRAME_SAMPLES}] samples, not {list(frame.shape)}.")
        if self._out.qsize() >= _UNREAD_FRAMES:
            self._lost = True
            self._out.put_nowait(None)
            return
        own = np.maximum(frame, _LEAST)
        self._delayed.append(np.minimum(own, _MOST, out=own))
        self._out.put_nowait(AgentFrame(index=self._index, audio=self._delayed.popleft()))
        self._index += 1

    async def frames(self) -> AsyncIterator[AgentFrame]:
        while not self._closed:
            frame = await self._out.get()
            if self._closed:
                return
            if frame is None:
                raise EngineLost("The call did not read the engine's audio for a minute.")
            yield frame

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._open_sessions.discard(self)
            self._out.put_nowait(None)
