"""How much of what was sent waits in the carrier's queue, and when silence should not be added to it.

send ──▶ carrier's queue ──▶ caller's ear
  └─ marks come back when their audio has been played
"""

from collections import deque

from agent.duplex import FRAME_MS

MOST_QUEUED_MS = 100
"""Silence is not sent when more than this would wait: a pause makes up for all lateness but a packet's, and the queue
stays under 200 ms with a frame to spare, so a barge-in is heard at once."""
LEAST_UNDERRUN_MS = 20
"""A packet; what is shorter is jitter."""
_BIN_MS, _BINS = 20, 100


class Playout:
    """The carrier's queue, modelled by the clock and corrected by mark echoes.

    ``now_ms`` is any clock of ours. The shortest way of a mark is the line's round trip; what takes longer waits.
    """

    def __init__(self) -> None:
        self._unplayed: deque[tuple[int, float]] = deque()
        self._until_ms = 0.0
        self._round_trip_ms: float | None = None
        self._sent_speech = False
        self._backlogs = [0] * _BINS
        self.shed_frames = 0
        self.underruns = 0
        self.underrun_ms = 0.0

    def backlog_ms(self, now_ms: float) -> float:
        """Return how long a frame sent now waits before it is played."""
        return max(0.0, self._until_ms - now_ms)

    def admits(self, *, silent: bool, now_ms: float) -> bool:
        """Whether to send the next frame; speech always, silence unless too much waits. Counts what it turns away."""
        if silent and self.backlog_ms(now_ms) + FRAME_MS > MOST_QUEUED_MS:
            self.shed_frames += 1
            return False
        return True

    def sent(self, index: int, now_ms: float, *, silent: bool = False) -> None:
        """Note that frame ``index`` and its mark were sent."""
        late_ms = now_ms - self._until_ms
        if self._sent_speech and not silent and late_ms > LEAST_UNDERRUN_MS:
            self.underruns += 1
            self.underrun_ms += late_ms
        self._sent_speech = not silent
        self._backlogs[min(_BINS - 1, max(0, int(-late_ms)) // _BIN_MS)] += 1
        self._unplayed.append((index, now_ms))
        self._until_ms = max(self._until_ms, now_ms) + FRAME_MS

    def played(self, index: int, now_ms: float) -> None:
        """Note that the mark of frame ``index`` came back."""
        sent_at_ms = None
        while self._unplayed and self._unplayed[0][0] <= index:
            sent_at_ms = self._unplayed.popleft()[1]
        if sent_at_ms is None:
            return
        trip_ms = max(0.0, now_ms - sent_at_ms - FRAME_MS)
        self._round_trip_ms = trip_ms if self._round_trip_ms is None else min(self._round_trip_ms, trip_ms)
        self._until_ms = now_ms - self._round_trip_ms + FRAME_MS * len(self._unplayed)

    def backlog_p95_ms(self) -> float:
        """Return what 19 of 20 frames waited at most, in steps of 20 ms up to 2 s; 0 where none was sent."""
        left = 0.95 * sum(self._backlogs)
        for number, frames in enumerate(self._backlogs):
            left -= frames
            if frames and left <= 0:
                return float(number * _BIN_MS)
        return 0.0
