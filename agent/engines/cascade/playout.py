"""What the agent is saying: sentences in, one frame of audio and the words begun in it out.

say(line) ──▶ [line, line, …] ──▶ next_frame() ──▶ audio, text
                                   ▲ hush, speak_on, stop
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.duplex import FRAME_SAMPLES, SAMPLE_HZ, Samples

_FADE = np.linspace(1.0, 0.0, SAMPLE_HZ // 100, dtype=np.float32)  # 10 ms: too short to hear, too long to click
_GAP_SAMPLES = SAMPLE_HZ * 220 // 1000
_NOTHING = np.zeros(0, np.float32)
SILENT_DB = -100.0


@dataclass(slots=True)
class Line:
    """A sentence to play: ``audio`` [N] float32 at SAMPLE_HZ, ``words`` (text, first sample) in order.

    ``timings`` go out with its first frame, ``ends_call`` with its last.
    """

    audio: Samples
    words: tuple[tuple[str, int], ...]
    timings: Mapping[str, float] = field(default_factory=dict)
    ends_call: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """One frame, [FRAME_SAMPLES]: its audio, the words that began in it, and what lines it began or ended."""

    audio: Samples
    text: str
    timings: Mapping[str, float]
    ends_call: bool


class Playout:
    """The agent's mouth. ``spoken`` is what was begun since the last ``begin_reply``."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._at = 0  # sample of the first line that comes next; negative in the gap before it
        self._said = 0  # words of the first line whose text is out
        self._hushed = False
        self._fading = _NOTHING
        self.level_db = SILENT_DB
        self.spoken = ""

    @property
    def busy(self) -> bool:
        """Whether there is anything left to say."""
        return bool(self._lines)

    def begin_reply(self) -> None:
        self.spoken = ""

    def say(self, line: Line) -> None:
        """Play ``line`` after those that wait."""
        if not self._lines:
            self._at = self._said = 0
        self._lines.append(line)

    def hush(self) -> None:
        """Fall silent within 10 ms, but keep the rest."""
        if self._hushed:
            return
        self._hushed = True
        if self._lines and self._at > 0:
            rest = self._lines[0].audio[self._at : self._at + len(_FADE)]
            self._fading = rest * _FADE[: len(rest)]

    def speak_on(self) -> None:
        """Go on from the beginning of the word that ``hush`` cut."""
        if self._hushed and self._lines and self._said:
            self._at = min(self._at, self._lines[0].words[self._said - 1][1])
        self._hushed = False

    def stop(self) -> None:
        """Fall silent within 10 ms and forget the rest."""
        self.hush()
        self._lines.clear()
        self._hushed = False

    def next_frame(self) -> Played:
        """Return the next 80 ms; exact zeros where nothing is said."""
        audio = np.zeros(FRAME_SAMPLES, np.float32)
        audio[: len(self._fading)] = self._fading
        self._fading = _NOTHING
        text, timings, ends_call = "", {}, False
        filled = 0
        while self._lines and not self._hushed and filled < FRAME_SAMPLES:
            line = self._lines[0]
            if self._at < 0:
                skipped = min(-self._at, FRAME_SAMPLES - filled)
                self._at += skipped
                filled += skipped
                continue
            timings = {**timings, **line.timings}
            line.timings = {}
            piece = line.audio[self._at : self._at + FRAME_SAMPLES - filled]
            audio[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._at += len(piece)
            text += self._words_begun(line)
            if self._at >= len(line.audio):
                ends_call = ends_call or line.ends_call
                self._next_line()
        self.spoken += text
        self.level_db = 10 * float(np.log10(np.mean(audio**2) + 1e-10))
        return Played(audio, text, timings, ends_call)

    def _words_begun(self, line: Line) -> str:
        text = ""
        ended = self._at >= len(line.audio)
        while self._said < len(line.words) and (ended or line.words[self._said][1] < self._at):
            text += " " + line.words[self._said][0]
            self._said += 1
        return text

    def _next_line(self) -> None:
        self._lines.popleft()
        self._at, self._said = -_GAP_SAMPLES, 0
