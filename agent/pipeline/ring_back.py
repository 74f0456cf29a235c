"""What the caller hears while nothing else comes, before the agent's first frame or where its frames stop: it rings.

caller's frame, unanswered for a second ─▶ next_frame ─▶ 80 ms of tone        agent's frame ─▶ stop ─▶ event
"""

import asyncio
from collections.abc import Awaitable
from functools import cache
from itertools import cycle
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.duplex import FRAME_MS
from agent.pipeline.announcer import Note
from agent.pipeline.frames import PHONE_HZ
from telephony.audio import g711
from telephony.audio.ringing import ringing
from telephony.carrier import MediaSocket

RINGS_AFTER_S = 1.0
"""A second before nobody may be left in silence any longer: as much as the line itself takes to say something."""
AGENT_LATE = "agent_late"
_T = TypeVar("_T")
_FRAME_SAMPLES = PHONE_HZ * FRAME_MS // 1000


class RingBack:
    """One call's. Each time it has rung, an event says how long the caller waited."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._frames = 0

    @property
    def rings(self) -> bool:
        """Whether the caller hears it ring."""
        return self._frames > 0

    def next_frame(self) -> NDArray[np.int16]:
        """Return the next 80 ms of tone, 8 kHz int16."""
        frames = tone_frames()
        self._frames += 1
        return frames[(self._frames - 1) % len(frames)]

    def stop(self) -> None:
        """The agent is there, or the call is over."""
        if self._frames:
            self._note(AGENT_LATE, f"{RINGS_AFTER_S + self._frames * FRAME_MS / 1000:.1f} s")
            self._frames = 0


async def rings_until(done: Awaitable[_T], socket: MediaSocket) -> _T:
    """Await what a call needs before it can be carried; from a second on its caller hears it ring.

    Raises:
        Exception: what ``done`` raises.
    """
    waiting = asyncio.ensure_future(done)
    frames, wait_s = cycle(tone_frames()), RINGS_AFTER_S
    try:
        while not (await asyncio.wait((waiting,), timeout=wait_s))[0]:
            await socket.send(socket.protocol.audio(g711.encode(next(frames))))
            wait_s = FRAME_MS / 1000
        return waiting.result()
    finally:
        waiting.cancel()


@cache
def tone_frames() -> NDArray[np.int16]:
    """Return the tone, which repeats after so many frames, as [frames, samples]."""
    tone = ringing()
    repeats = np.lcm(tone.size, _FRAME_SAMPLES) // tone.size
    return np.tile(tone, repeats).reshape(-1, _FRAME_SAMPLES)
