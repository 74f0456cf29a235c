"""Our own voice in a call: sentences spoken in place of the agent's audio, frame by frame as the engine's come.

announce ─▶ voice, in a task ─▶ queue ─▶ next_frame, once the agent pauses ─▶ audio, words, what it ends
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from agent.duplex import FRAME_MS
from agent.logs import log_failure
from agent.pipeline.ending import CallEnd, Ending
from agent.pipeline.frames import PHONE_HZ, AgentAudio

log = structlog.get_logger(__name__)

Pcm = NDArray[np.int16]
Speak = Callable[[str, str], Awaitable[Pcm]]
"""Speaks a sentence in the voice of a card's name for it; [N] int16 at 8 kHz."""
Note = Callable[[str, str], None]
"""Notes an event of the call, by kind and detail."""

SPEAKS_WITHIN_S = 2.0
PAUSE_WITHIN_FRAMES = 3_000 // FRAME_MS
_FRAME_SAMPLES = PHONE_HZ * FRAME_MS // 1000


@dataclass(frozen=True, slots=True)
class Announcement:
    """A sentence of ours. ``kind`` names it in the call's events; ``ends`` is what follows once it was heard.

    An urgent one cuts the agent short; others wait for a pause, three seconds at most.
    """

    kind: str
    text: str
    ends: Ending | None = None
    urgent: bool = False


class Announcer:
    """One call's. Without a voice nothing is said, an event says so, and what was to follow happens at once."""

    def __init__(self, speak: Speak | None, voice: str, end: CallEnd, note: Note) -> None:
        self._speak = speak
        self._voice = voice
        self._end = end
        self._note = note
        self._making: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[Announcement, list[AgentAudio]]] = deque()
        self._playing: deque[AgentAudio] = deque()
        self._waited_frames = 0

    @property
    def is_busy(self) -> bool:
        """Whether something of ours is being said, or about to be."""
        return bool(self._making or self._waiting or self._playing)

    def announce(self, announcement: Announcement) -> None:
        """Say this next; returns at once. Call on the event loop."""
        making = asyncio.create_task(self._make(announcement))
        self._making.add(making)
        making.add_done_callback(self._making.discard)

    def next_frame(self, *, agent_pauses: bool) -> AgentAudio | None:
        """Return what is to be heard in place of the agent's next frame; None for the agent itself."""
        if not self._playing and self._waiting:
            announcement, frames = self._waiting[0]
            self._waited_frames += 1
            if announcement.urgent or agent_pauses or self._waited_frames > PAUSE_WITHIN_FRAMES:
                self._waiting.popleft()
                self._playing.extend(frames)
                self._waited_frames = 0
                self._note("announcement", announcement.kind)
        return self._playing.popleft() if self._playing else None

    def close(self) -> None:
        """Say no more."""
        for making in self._making:
            making.cancel()

    async def _make(self, announcement: Announcement) -> None:
        pcm = await self._spoken(announcement.text)
        if pcm is None or not len(pcm):
            self._note("announcement_left_out", announcement.kind)
            if announcement.ends:
                self._end.settle(announcement.ends)
            return
        self._waiting.append((announcement, _frames(announcement, pcm)))

    async def _spoken(self, text: str) -> Pcm | None:
        if self._speak is None:
            return None
        try:
            async with asyncio.timeout(SPEAKS_WITHIN_S):
                return await self._speak(text, self._voice)
        except Exception as error:  # a voice that fails must not keep the call from its end
            log_failure(log, "announcement could not be spoken", error)
            return None


def _frames(announcement: Announcement, pcm: Pcm) -> list[AgentAudio]:
    """Cut a sentence into frames; its words are spread over them by their length."""
    whole = np.pad(pcm, (0, -len(pcm) % _FRAME_SAMPLES)).astype(np.int16).reshape(-1, _FRAME_SAMPLES)
    words = [f" {word}" for word in announcement.text.split()]
    letters = sum(map(len, words))
    texts = [""] * len(whole)
    said = 0
    for word in words:
        texts[said * len(whole) // letters] += word
        said += len(word)
    last = len(whole) - 1
    return [
        AgentAudio(frame, text, ends=announcement.ends if index == last else None)
        for index, (frame, text) in enumerate(zip(whole, texts, strict=True))
    ]
