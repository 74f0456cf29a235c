"""One frame out for each frame in, in order, whatever the server does; no I/O."""

import time
from collections import deque
from collections.abc import Callable

import numpy as np

from agent.duplex import FRAME_SAMPLES, AgentFrame, Samples

PATIENCE_S = 2.0
"""A frame owed for so long, while nothing comes at all, is given out as silence …"""

MOST_PATIENCE_S = 4.0
"""… and one owed for so long whatever comes: a server that drops frames now and then never makes up for them."""

_SILENT_PEAK = 10 ** (-50 / 20)
_MOST_WAITING_FRAMES = 125
_MOST_TEXT_CHARACTERS = 4_000


class Answers:
    """Pairs what was pushed with what came.

    Sound beyond what is owed is dropped where it is silent, so that a call does not stay late, and else waits for
    the next push.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.filled = 0
        self._clock = clock
        self._index = 0
        self._owed_since: deque[float] = deque()
        self._unheard_since: float | None = None
        self._sounds: deque[tuple[Samples, str]] = deque(maxlen=_MOST_WAITING_FRAMES)
        self._text = ""

    def owe(self) -> None:
        """A frame is being sent; the prompt is in."""
        now = self._clock()
        self._owed_since.append(now)
        if self._unheard_since is None:
            self._unheard_since = now

    def read(self, text: str) -> None:
        """Keep a piece of text for the frame that follows it."""
        self._text = (self._text + text)[-_MOST_TEXT_CHARACTERS:]

    def hear(self, frame: Samples) -> None:
        """Take a frame that came."""
        self._unheard_since = None
        beyond = len(self._sounds) >= len(self._owed_since)
        if beyond and not self._text and float(np.abs(frame).max()) < _SILENT_PEAK:
            return
        self._sounds.append((frame, self._text))
        self._text = ""

    def take(self) -> list[AgentFrame]:
        """Return the frames that are due."""
        due = []
        while self._owed_since and (self._sounds or self._overdue()):
            if self._sounds:
                audio, text = self._sounds.popleft()
            else:
                audio, text = np.zeros(FRAME_SAMPLES, np.float32), ""
                self.filled += 1
            due.append(AgentFrame(self._index, np.clip(audio, -1.0, 1.0), text))
            self._index += 1
            self._owed_since.popleft()
        return due

    @property
    def silent_s(self) -> float:
        """For how long the server has left everything unanswered, in seconds."""
        return self._clock() - self._unheard_since if self._unheard_since is not None else 0.0

    def _overdue(self) -> bool:
        waited_s = self._clock() - self._owed_since[0]
        return waited_s > MOST_PATIENCE_S or (waited_s > PATIENCE_S and self.silent_s > PATIENCE_S)
