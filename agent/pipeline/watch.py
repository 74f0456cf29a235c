"""Notices in time when one side of a call is not there: a watch that frames of media wind up.

caller's level, 12.5 times a second ─▶ heard ─▶ Trouble        agent's frame ─▶ said
"""

from dataclasses import dataclass
from enum import Enum, auto

from agent.duplex import FRAME_MS
from agent.pipeline.levels import NoiseFloor

LEAST_SPEECH_MS = 400
"""Of the caller's, before it counts as something that wants an answer: a cough is shorter."""
LEAST_WORD_MS = 240
"""A "yes"; a door is shorter."""
LONG_SPEECH_MS = 1_500
"""Who speaks for so long has not said it all before; "hello?" is shorter."""
NO_AUDIO_MS = 15_000
DEAD_RMS = 8
"""µ-law's smallest step: even a quiet room is louder."""
QUIET_CALLER_RMS, LOUD_CALLER_RMS = 100, 2_000


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call bears what should not be, in seconds; 0 is for ever.

    ``caller_silence_s``: both sides silent, before the caller is asked and once more before the call ends.
    ``agent_mute_s``: the agent silent though the caller spoke and waits; a quarter of it, twice, where they asked
    again in between: an agent may wait for a caller who is busy, but not ignore two sentences of theirs.
    ``engine_stall_s``: no frame from the engine. ``time_warning_s``: how long before the longest length the caller
    is told.
    """

    caller_silence_s: float = 15.0
    agent_mute_s: float = 10.0
    engine_stall_s: float = 1.5
    time_warning_s: float = 30.0


class Trouble(Enum):
    """What the watch has noticed."""

    CALLER_SILENT = auto()
    AGENT_MUTE = auto()
    NO_CALLER_AUDIO = auto()


class Watch:
    """One call's. Times are those of the caller's frames, so that a stall of ours is nobody's silence."""

    def __init__(self, patience: Patience) -> None:
        self._silence_ms = patience.caller_silence_s * 1000
        self._mute_ms = patience.agent_mute_s * 1000
        self._floor = NoiseFloor(QUIET_CALLER_RMS, LOUD_CALLER_RMS)
        self._quiet_ms = self._run_ms = self._unanswered_ms = self._waiting_ms = 0
        self._is_left_alone = self._asked_again = False
        self._lifeless_ms = 0

    @property
    def caller_speaks(self) -> bool:
        """Whether the caller is saying something now, which is more than a noise."""
        return self._run_ms >= LEAST_WORD_MS

    def said(self) -> None:
        """The agent's next frame can be heard."""
        self._quiet_ms = self._unanswered_ms = self._waiting_ms = 0
        self._is_left_alone = self._asked_again = False

    def heard(self, rms: int) -> Trouble | None:
        """Take the level of the caller's next frame; return what is wrong, each time it has gone on for long enough."""
        if self._floor.is_loud(rms):
            self._speech()
        else:
            self._silence()
        if self._is_lifeless(rms):
            return Trouble.NO_CALLER_AUDIO
        if self._is_mute():
            self._waiting_ms = self._unanswered_ms = 0
            self._asked_again = False
            return Trouble.AGENT_MUTE
        if self._silence_ms and self._quiet_ms >= self._silence_ms:
            self._quiet_ms = 0
            return Trouble.CALLER_SILENT
        return None

    def _is_mute(self) -> bool:
        asked_twice = self._asked_again and self._quiet_ms >= self._mute_ms / 4
        return self._mute_ms > 0 and (asked_twice or self._waiting_ms >= self._mute_ms)

    def _speech(self) -> None:
        if not self._run_ms:
            self._is_left_alone = self._unanswered_ms >= LEAST_SPEECH_MS and self._quiet_ms >= self._mute_ms / 4
        self._quiet_ms = 0
        self._run_ms += FRAME_MS
        self._unanswered_ms += FRAME_MS
        if self._run_ms >= LONG_SPEECH_MS:
            self._waiting_ms = 0
            self._asked_again = False
        elif self._run_ms >= LEAST_SPEECH_MS and self._is_left_alone:
            self._asked_again = True

    def _silence(self) -> None:
        self._run_ms = 0
        self._quiet_ms += FRAME_MS
        if self._unanswered_ms >= LEAST_SPEECH_MS:
            self._waiting_ms += FRAME_MS

    def _is_lifeless(self, rms: int) -> bool:
        """Whether no sound at all has come from the beginning on; once a call."""
        if self._lifeless_ms < 0:
            return False
        self._lifeless_ms = self._lifeless_ms + FRAME_MS if rms <= DEAD_RMS else -1
        if self._lifeless_ms < NO_AUDIO_MS:
            return False
        self._lifeless_ms = -1
        return True
