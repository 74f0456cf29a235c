"""How much of what was sent waits in the carrier's queue, and when silence should not be added to it.

send ──▶ carrier's queue ──▶ caller's ear
  └─ marks come back when their audio has been played
"""

from collections import deque

from agent.duplex import FRAME_MS

MOST_QUEUED_MS = 140
"""Silence is not sent when more than this would wait: pauses make up for lateness, and the queue stays under
200 ms with a frame to spare, so a barge-in is heard at once."""


class Playout:
    """The carrier's queue, modelled by the clock and corrected by mark echoes.

    ``now_ms`` is any clock of ours. The shortest way of a mark is the line's round trip; what takes longer waits.
    """

    def __init__(self) -> None:
        self._unplayed: deque[tuple[int, float]] = deque()
        self._until_ms = 0.0
        self._round_trip_ms: float | None = None
        self.shed_frames = 0

    def backlog_ms(self, now_ms: float) -> float:
        """Return how long a frame sent now waits before it is played."""
        return max(0.0, self._until_ms - now_ms)

    def admits(self, *, silent: bool, now_ms: float) -> bool:
        """Whether to send the next frame; speech always, silence unless too much waits. Counts what it turns away."""
        if silent and self.backlog_ms(now_ms) + FRAME_MS > MOST_QUEUED_MS:
            self.shed_frames += 1
            return False
        return True

    def sent(self, index: int, now_ms: float) -> None:
        """Note that frame ``index`` and its mark were sent."""
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
