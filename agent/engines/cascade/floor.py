"""Who has the floor while the agent speaks: the caller barges in, or only says "mm-hmm".

Stopping within 300 ms of the caller's onset and talking on through a "yeah" exclude each other if
length alone decides, since a "yeah" lasts longer than that. So the agent first *hushes*, quickly and
reversibly, and decides 0.4 s later:

    talking ──160 ms of speech, not a hum──▶ hushed ──0.4 s: still speaking──▶ yielded
       ▲  ▲──── a hum ("mm-hmm") ─────┘         │
       └────── 0.4 s: silent, so speak on ──────┘

A hush stays under the half second of silence that counts as yielding (docs/evaluation), and what it
cut is said again from its last word. Words heard in it ("wait") still stop the agent once they are
recognised. Hums never hush the agent, unless they turn into words or last too long for a hum: the
price is that an interruption that opens with a long "mmm" or "do you" stops it later.

The times below are what `parley bench cascade` liked best. Deciding later would spare the agent the few
words it says in the pause of "No … wait"; but then a "yeah" would silence it for over half a second.
"""

from enum import Enum, auto

from agent.engines.cascade.activity import WINDOW_MS, Window
from agent.engines.cascade.turns import ON_PROBABILITY

_HUSH_MS = 160
_LEAST_VOICED_MS = 96
_EARLY_MS = 96
"""A burst begins up to so much before Silero is sure: an s or an f is loud before it is speech."""
_DECIDE_MS = 416
_YIELD_MS = 544
_HUM_MS = 750
_GAP_MS = 160
_AGAIN_MS = 800
_OVER_NOISE_DB = 6
"""Silero trails the end of speech by 60 ms and more; the line's noise tells sooner."""
_HUM_TILT_DB = -25.0
_LINE_GAIN_DB = -24.0
_NOISE_DB = -55.0


class Floor(Enum):
    """What the agent should do now."""

    KEEP = auto()
    HUSH = auto()
    SPEAK_ON = auto()
    YIELD = auto()


def audible(window: Window, agent_level_db: float) -> bool:
    """Whether a window can be the caller, and not noise or the echo of an agent this loud (dB of full scale).

    Phone lines return an echo at -30 dB and less.
    """
    return window.level_db > max(_NOISE_DB, agent_level_db + _LINE_GAIN_DB)


class BargeIn:
    """Judges the caller's bursts of speech while the agent has the floor.

    ``hummed`` tells whether the last burst was a hum.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The agent begins to speak, or the caller took the floor."""
        self.hummed = False
        self._hushed_ms: int | None = None
        self._spoke_on_ms = -_AGAIN_MS
        self._clear()

    @property
    def hushed(self) -> bool:
        return self._hushed_ms is not None

    def _clear(self) -> None:
        self._start_ms = self._last_ms = self._voiced_ms = self._words_ms = self._early_ms = 0

    def hear(self, window: Window, is_audible: bool) -> Floor:
        """Take the next window of the caller."""
        above = window.over_noise_db > _OVER_NOISE_DB and (is_audible or self._in_words)
        voiced = above and window.probability >= ON_PROBABILITY
        if voiced:
            self._count(window)
        self._early_ms = min(self._early_ms + WINDOW_MS, _EARLY_MS) if above and not voiced else 0
        if self._hushed_ms is not None:
            return self._decide(window.end_ms, self._hushed_ms)
        if not voiced:
            if self._voiced_ms and window.end_ms - self._last_ms >= _GAP_MS:
                self._clear()
            return Floor.KEEP
        return self._weigh(window.end_ms)

    @property
    def _in_words(self) -> bool:
        """Whether a burst is under way that is not a hum; its soft sounds count too."""
        return self._words_ms * 3 >= self._voiced_ms > 0

    def _count(self, window: Window) -> None:
        if not self._voiced_ms:
            self._start_ms = window.end_ms - WINDOW_MS - self._early_ms
        self._last_ms = window.end_ms
        self._voiced_ms += WINDOW_MS
        self._words_ms += WINDOW_MS if window.tilt_db > _HUM_TILT_DB else 0

    def _weigh(self, now_ms: int) -> Floor:
        length_ms = now_ms - self._start_ms
        if length_ms < _HUSH_MS or self._voiced_ms < _LEAST_VOICED_MS:
            return Floor.KEEP
        self.hummed = not self._in_words
        if self.hummed and length_ms < _HUM_MS:
            return Floor.KEEP
        if now_ms - self._spoke_on_ms < _AGAIN_MS:
            return Floor.YIELD  # a second burst so soon: the caller means it
        self._hushed_ms = now_ms
        return Floor.HUSH

    def _decide(self, now_ms: int, hushed_ms: int) -> Floor:
        if now_ms - hushed_ms < _DECIDE_MS:
            return Floor.KEEP
        if now_ms - self._last_ms >= _GAP_MS:
            self._hushed_ms = None
            self._spoke_on_ms = now_ms
            self._clear()
            return Floor.SPEAK_ON
        return Floor.YIELD if self._last_ms - self._start_ms >= _YIELD_MS else Floor.KEEP
