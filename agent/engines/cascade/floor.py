"""Who has the floor while the agent speaks: the caller barges in, or only says "mm-hmm".

Stopping within 300 ms of the caller's onset and talking on through backchannels exclude each other
if length alone decides, since a "yeah" lasts longer than that. So the agent first *hushes*, quickly
and reversibly, and then decides:

    talking ──160 ms of speech, not a hum──▶ hushed ──speech goes on past 600 ms──▶ yielded
       ▲  ▲──── a hum ("mm-hmm") ─────┘          │
       └──────── ended sooner: speak on ─────────┘

A hush shorter than half a second does not count as yielding (docs/evaluation: yielded = 0.5 s of
agent silence), and what was cut is said again from its last word. Hums never hush the agent, unless
they turn into words or last a second: that is the price, an interruption that opens with a long
"mmm" or "do you" stops the agent a little later.
"""

from enum import Enum, auto

from agent.engines.cascade.activity import WINDOW_MS, Window
from agent.engines.cascade.turns import ON_PROBABILITY

HUSH_MS = 160
YIELD_MS = 600
_HUM_MS = 1_000
_GAP_MS = 96
_HUM_TILT_DB = -19.0
_LINE_GAIN_DB = -24.0
_NOISE_DB = -55.0
"""Softer than the agent's own speech by 24 dB is its echo (phone lines return -30 dB and less)."""


class Floor(Enum):
    """What the agent should do now."""

    KEEP = auto()
    HUSH = auto()
    SPEAK_ON = auto()
    YIELD = auto()


def audible(window: Window, agent_level_db: float) -> bool:
    """Whether a window can be the caller, and not noise or the echo of an agent this loud (dB of full scale)."""
    return window.level_db > max(_NOISE_DB, agent_level_db + _LINE_GAIN_DB)


class BargeIn:
    """Judges the caller's bursts of speech while the agent has the floor."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The agent begins to speak, or the caller took the floor."""
        self.hushed = False
        self.hummed = False
        self._clear()

    def _clear(self) -> None:
        self._start_ms = self._last_ms = self._voiced_ms = 0
        self._words_ms = 0

    def hear(self, window: Window, is_audible: bool) -> Floor:
        """Take the next window of the caller."""
        if is_audible and window.probability >= ON_PROBABILITY:
            return self._voiced(window)
        if self._voiced_ms and window.end_ms - self._last_ms >= _GAP_MS:
            self._clear()
            if self.hushed:
                self.hushed = False
                return Floor.SPEAK_ON
        return Floor.KEEP

    def _voiced(self, window: Window) -> Floor:
        if not self._voiced_ms:
            self._start_ms = window.end_ms - WINDOW_MS
            self.hummed = False
        self._last_ms = window.end_ms
        self._voiced_ms += WINDOW_MS
        self._words_ms += WINDOW_MS if window.tilt_db > _HUM_TILT_DB else 0
        length_ms = window.end_ms - self._start_ms
        if self.hushed:
            return Floor.YIELD if length_ms >= YIELD_MS else Floor.KEEP
        if length_ms < HUSH_MS:
            return Floor.KEEP
        self.hummed = self._words_ms * 3 < self._voiced_ms
        if self.hummed and length_ms < _HUM_MS:
            return Floor.KEEP
        self.hushed = True
        return Floor.HUSH
