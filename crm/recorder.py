"""Keeps one call: both tracks, words, events and timings, without ever delaying or failing the call."""

import numpy as np
from numpy.typing import NDArray

from crm.call import Outcome
from crm.recordings import Recordings
from crm.store import CallStore

Pcm = NDArray[np.int16]


class CallRecorder:
    """The tap of one call. All times are media time: milliseconds since the stream began.

    Methods never block the event loop and never raise into the call; what goes wrong becomes an
    event of the call. ``recordings`` is ``Recordings(data_dir / "recordings")``, one a process.
    """

    def __init__(self, call_id: str, store: CallStore, recordings: Recordings) -> None:
        self.call_id = call_id
        self._store = store
        self._recordings = recordings

    def caller_audio(self, at_ms: int, pcm: Pcm) -> None:
        """Keep caller's audio, [N] int16 at 8 kHz, that was spoken at ``at_ms``."""

    def agent_audio(self, frame_index: int, at_ms: int, pcm: Pcm) -> None:
        """Keep agent's audio, [N] int16 at 8 kHz, sent at ``at_ms``; it is placed where it plays."""

    def agent_played(self, frame_index: int, at_ms: int) -> None:
        """Note that the caller has heard everything up to the end of this frame (mark echo)."""

    def agent_cleared(self, at_ms: int) -> None:
        """Note that audio not yet played was thrown away (``clear``): it is not in the recording."""

    def agent_text(self, at_ms: int, text: str) -> None:
        """Keep a piece of the agent's text, with its own leading space, sent at ``at_ms``."""

    def caller_word(self, start_ms: int, end_ms: int, text: str) -> None:
        """Keep a word of the caller; it may be seconds old."""

    def event(self, kind: str, at_ms: int, detail: str = "") -> None:
        """Note something that happened; ``detail`` holds no words or numbers of the caller."""

    def timing(self, name: str, ms: float) -> None:
        """Keep a figure of this call, e.g. ``endpoint``; of several by one name the row holds the median."""

    async def finish(self, outcome: Outcome, reason: str = "", duration_ms: int | None = None) -> None:
        """Close the recording, make turns and log the call's end; never raises, harmless twice."""


async def recover_lost_calls(store: CallStore, recordings: Recordings) -> int:
    """At start-up: save what dead processes left of their calls, and mark those calls lost; returns how many."""
    raise NotImplementedError
