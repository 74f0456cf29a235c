"""What the recorder's thread does: audio to the tracks, notes to the journal; a full disk does not stop the call.

caller_audio ─▶ at its own time ─┐
agent_audio ─▶ Playout ──────────┴─▶ TrackWriter      words, text, events ─▶ Notes + Journal
"""

from collections.abc import Callable
from numbers import Integral

import numpy as np

from crm.journal import Journal, Line, Notes
from crm.playout import Placed, Playout
from crm.recordings import Recordings
from crm.tracks import SAMPLES_PER_MS, Pcm, TrackWriter

SNAP_SAMPLES = 10 * SAMPLES_PER_MS  # the carrier's clock may round: less than this is no gap
FARTHEST_MS = 600_000  # a time stamp further ahead than this is an error, not a pause
SHIFT_STEP_MS = 10
NO_JOURNAL = "What was said is kept at the call's end only"


class Tape:
    """One call's files. Not thread-safe: the recorder's thread owns it. Raises nothing."""

    def __init__(self, call_id: str, recordings: Recordings) -> None:
        self.notes = Notes()
        self.failure = ""  # a sentence, once the recording could not go on
        self._lines: list[Line] = []
        self._playout = Playout()
        self._caller_end = 0
        self._odd_times = 0
        self._shift_ms: int | None = None
        self._writer: TrackWriter | None = None
        self._journal: Journal | None = None
        try:
            self._journal = Journal(recordings.journal(call_id))
        except OSError as error:
            self._failed(NO_JOURNAL, error)
        try:
            recording = recordings.new(call_id)
            self._writer = TrackWriter(recordings.folder / recording)
            self.note("recording", recording)
        except OSError as error:
            self._failed("The call could not be recorded", error)

    def note(self, *line: str | int | float) -> None:
        """Keep a line of the journal.

        Raises:
            ValueError: it is none.
        """
        kept = [_storable(value) for value in line]
        self.notes.take(kept)
        self._lines.append(kept)

    def caller_audio(self, at_ms: int, pcm: Pcm) -> None:
        """Place the caller's audio where the carrier says it was spoken."""
        if not self._is_plausible(at_ms := int(at_ms)):
            return
        start = at_ms * SAMPLES_PER_MS
        if abs(start - self._caller_end) <= SNAP_SAMPLES:
            start = self._caller_end
        self._caller_end = max(self._caller_end, start + len(pcm))
        self._on_writer(lambda writer: writer.place("caller", start, pcm))

    def agent_audio(self, frame_index: int, at_ms: int, pcm: Pcm) -> None:
        """Take a frame of the agent's; it is placed once its echoes tell when it was heard."""
        if self._is_plausible(at_ms := int(at_ms)):
            self._playout.sent(frame_index, at_ms, pcm)

    def agent_played(self, frame_index: int, at_ms: int) -> None:
        """Take a mark's echo."""
        self._playout.played(frame_index, int(at_ms))

    def agent_cleared(self, at_ms: int) -> None:
        """Leave out what was sent but not heard."""
        placed = self._playout.cleared(at_ms)
        self._place(placed)
        heard = [frame.sent_ms for frame in placed if len(frame.pcm)]
        unheard = [frame.sent_ms for frame in placed if not len(frame.pcm)]
        if unheard:
            self.note("dropped", max([*(sent_ms + 1 for sent_ms in heard), unheard[0]]), unheard[-1])

    def flush(self) -> None:
        """Put on the disk what is known by now."""
        self._place(self._playout.settle(self.notes.clock_ms))
        self._on_writer(TrackWriter.flush)
        self.note("clock", self.notes.clock_ms)
        if self._journal:
            try:
                self._journal.append(self._lines)
            except OSError as error:
                self._journal.close()
                self._journal = None
                self._failed(NO_JOURNAL, error)
        self._lines.clear()

    def close(self, duration_ms: int) -> None:
        """Write the rest; what the agent had sent but nobody heard before ``duration_ms`` is left out."""
        self.agent_cleared(duration_ms)
        self._on_writer(lambda writer: writer.close(duration_ms * SAMPLES_PER_MS))
        late_ms = self._writer.late_samples // SAMPLES_PER_MS if self._writer else 0
        if late_ms:
            self.note("event", "late_audio", duration_ms, f"{late_ms} ms of audio came too late for the recording")
        if self._odd_times:
            self.note("event", "odd_time", duration_ms, f"{self._odd_times} packets had impossible time stamps")
        self._writer = None
        self.flush()
        if self._journal:
            self._journal.close()

    def _is_plausible(self, at_ms: int) -> bool:
        if 0 <= at_ms <= self.notes.clock_ms + FARTHEST_MS:
            self.notes.clock_ms = max(self.notes.clock_ms, at_ms)
            return True
        self._odd_times += 1
        return False

    def _place(self, placed: list[Placed]) -> None:
        for frame in placed:
            shift_ms = round(frame.at_ms - frame.sent_ms)
            if self._shift_ms is None or abs(shift_ms - self._shift_ms) >= SHIFT_STEP_MS:
                self._shift_ms = shift_ms
                self.note("shift", frame.sent_ms, shift_ms)
            if np.count_nonzero(frame.pcm):
                start = round(frame.at_ms * SAMPLES_PER_MS)
                self._on_writer(lambda writer, start=start, pcm=frame.pcm: writer.place("agent", start, pcm))

    def _on_writer(self, work: Callable[[TrackWriter], None]) -> None:
        if self._writer is None:
            return
        try:
            work(self._writer)
        except OSError as error:
            self._writer.abandon()
            self._writer = None
            self._failed("The recording stopped before the call's end", error)

    def _failed(self, what: str, error: OSError) -> None:
        reason = f"{what}: {error.strerror or 'the file cannot be written'}."
        self.failure = self.failure or reason
        self.note("event", "recording_failed", self.notes.clock_ms, reason)


def _storable(value: str | int | float) -> str | int | float:
    """Text without what no database takes: NUL, halves of surrogate pairs; numbers as Python's own."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="replace").decode()
    return int(value) if isinstance(value, Integral) else float(value)
