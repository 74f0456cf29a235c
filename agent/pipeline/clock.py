"""Media time now: the caller's clock, read from when frames arrive."""

import time

_DRIFT_MS = 0.02  # a frame: 250 ppm, more than any two clocks drift apart


class MediaClock:
    """Milliseconds since the stream began, between frames too.

    A frame can come late but never early, so the earliest one seen says how the clocks lie to each other.
    """

    def __init__(self) -> None:
        self._ahead_ms: float | None = None

    def heard(self, until_ms: int) -> None:
        """Note that the caller's audio up to ``until_ms`` is here now."""
        ahead_ms = until_ms - _monotonic_ms()
        if self._ahead_ms is None or ahead_ms > self._ahead_ms - _DRIFT_MS:
            self._ahead_ms = ahead_ms
        else:
            self._ahead_ms -= _DRIFT_MS

    def now_ms(self) -> int:
        """Return media time; 0 before the first frame."""
        return 0 if self._ahead_ms is None else max(0, round(self._ahead_ms + _monotonic_ms()))


def _monotonic_ms() -> float:
    return time.monotonic() * 1000
