"""When the caller began, paused and ended: windows in, utterances out. No clock but the audio's own.

quiet ──speech──▶ speaking ──200 ms──▶ pausing ──hangover──▶ ended
                      ▲────speech again────┘
"""

from dataclasses import dataclass
from enum import Enum, auto

from agent.engines.cascade.activity import WINDOW_MS, Window
from agent.engines.cascade.ports import Transcript

ON_PROBABILITY = 0.5
_STAY_PROBABILITY = 0.35
_START_WINDOWS = 2
_PAUSE_MS = 192
_EAGER_PAUSE_MS = 96
_LEAST_SPEECH_MS = 128
_RANGE_DB = 30
"""Silero trails the end of speech by some 60 ms; what is this far under the loudest is silence."""

_COMPLETE_MS = 350
_USUAL_MS = 500
_DANGLING_MS = 1_200
_WHOLE_WORDS = 4
LONG_MS = 20_000
"""A recogniser takes 30 s at most; from here on an utterance is cut at its next pause."""
_LONGEST_MS = 28_000

_DANGLING_WORDS = """a an the and or but so because if my your our his her their of from than um uh er hmm well
i i'm it's that's what's we can could would will"""
_LINKING_WORDS = "to for with at by on in about as is are was were"  # these end questions, but not statements
_OPENING_WORDS = """what what's when when's where where's who who's which why how how's can could do does did is are was
were will would may should have has am"""
_DANGLING = frozenset(_DANGLING_WORDS.split())
_LINKING = frozenset(_LINKING_WORDS.split())
_OPENERS = frozenset(_OPENING_WORDS.split())


class Hearing(Enum):
    """What a window changed."""

    NOTHING = auto()
    BEGAN = auto()  # the caller speaks
    PAUSED = auto()  # may have ended: time to recognise what was said
    RESUMED = auto()  # had not ended
    DROPPED = auto()  # was too short to be speech


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the caller said, in session ms, without the silence around; ``speech_ms`` of it was voiced."""

    start_ms: int
    end_ms: int
    speech_ms: int


class Turns:
    """Follows one caller. Feed every window in order."""

    def __init__(self) -> None:
        self._run = 0
        self._start_ms = 0
        self._clear()

    def _clear(self) -> None:
        self.speaking = False
        self.pausing = False
        self._run = 0
        self._now_ms = self._end_ms = self._speech_ms = 0
        self._peak_db = -100.0

    @property
    def utterance(self) -> Utterance:
        return Utterance(self._start_ms, self._end_ms, self._speech_ms)

    @property
    def silence_ms(self) -> int:
        """How long the caller has paused; 0 while speaking."""
        return self._now_ms - self._end_ms if self.speaking else 0

    def hear(self, window: Window, audible: bool = True, eager: bool = False) -> Hearing:
        """Take the next window; one that is not ``audible`` is silence (the agent's own echo, say).

        ``eager`` takes a shorter silence for a pause.
        """
        self._now_ms = window.end_ms
        if not self.speaking:
            return self._listen(window, audible)
        if audible and window.probability >= _STAY_PROBABILITY and window.level_db > self._peak_db - _RANGE_DB:
            return self._go_on(window)
        if self.pausing or self.silence_ms < (_EAGER_PAUSE_MS if eager else _PAUSE_MS):
            return Hearing.NOTHING
        if self._speech_ms < _LEAST_SPEECH_MS:
            self._clear()
            return Hearing.DROPPED
        self.pausing = True
        return Hearing.PAUSED

    def _listen(self, window: Window, audible: bool) -> Hearing:
        if not audible or window.probability < ON_PROBABILITY:
            self._run = 0
            return Hearing.NOTHING
        self._run += 1
        if self._run < _START_WINDOWS:
            return Hearing.NOTHING
        self.speaking = True
        self._start_ms = window.end_ms - self._run * WINDOW_MS
        self._end_ms, self._speech_ms = window.end_ms, self._run * WINDOW_MS
        self._peak_db = window.level_db
        return Hearing.BEGAN

    def _go_on(self, window: Window) -> Hearing:
        resumed, self.pausing = self.pausing, False
        self._end_ms = window.end_ms
        self._speech_ms += WINDOW_MS
        self._peak_db = max(self._peak_db, window.level_db)
        if self._end_ms - self._start_ms >= _LONGEST_MS:
            return Hearing.PAUSED  # nobody speaks for so long without a breath; recognise what there is
        return Hearing.RESUMED if resumed else Hearing.NOTHING

    def finish(self) -> Utterance:
        """Close the utterance and wait for the next."""
        done = self.utterance
        self._clear()
        return done


def hangover_ms(transcript: Transcript) -> int:
    """How long to wait after these words before taking the turn as over.

    A whole question is answered soon; after "and the …" people go on.
    """
    words = [word.text.lower() for word in transcript.words]
    if not words:
        return _USUAL_MS
    asks = words[0] in _OPENERS
    if words[-1] in _DANGLING or (words[-1] in _LINKING and not asks):
        return _DANGLING_MS
    return _COMPLETE_MS if asks and len(words) >= _WHOLE_WORDS else _USUAL_MS
