"""When the agent speaks, found by the energy of what is heard.

A spurt begins with 40 ms above the threshold and ends when 400 ms have passed below it, so pauses between words do
not cut it; its end is where the sound ended, not where that was noticed.
"""

import numpy as np
from numpy.typing import NDArray

from telephony.media import PHONE
from telephony.simulator.result import Spurt

_THRESHOLD_RMS = 200.0  # -44 dBFS: above idle noise of a model, below any speech
_BEGIN_MS = 2 * PHONE.packet_ms
_END_MS = 400


class AgentEar:
    """Follows one call's heard audio."""

    def __init__(self) -> None:
        self._spurts: list[Spurt] = []
        self._start_ms: int | None = None
        self._loud_ms = 0
        self._last_loud_ms = 0
        self._now_ms = 0

    def hear(self, at_ms: int, pcm: NDArray[np.int16]) -> None:
        """Take the next 20 ms, [160] int16, that began at ``at_ms``."""
        self._now_ms = at_ms + PHONE.packet_ms
        loud = float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64)))) >= _THRESHOLD_RMS
        if loud:
            self._loud_ms += PHONE.packet_ms
            self._last_loud_ms = self._now_ms
            if self._start_ms is None and self._loud_ms >= _BEGIN_MS:
                self._start_ms = self._now_ms - self._loud_ms
            return
        self._loud_ms = 0
        if self._start_ms is not None and self.quiet_ms >= _END_MS:
            self._spurts.append(Spurt(self._start_ms, self._last_loud_ms))
            self._start_ms = None

    @property
    def speaking(self) -> bool:
        """Whether a spurt is going on (its last 400 ms may have been silent)."""
        return self._start_ms is not None

    @property
    def last_loud_ms(self) -> int:
        """When something loud was last heard; 0 before that."""
        return self._last_loud_ms

    @property
    def quiet_ms(self) -> int:
        """How long nothing loud has been heard."""
        return self._now_ms - self._last_loud_ms

    @property
    def last_start_ms(self) -> int | None:
        """When the current spurt began, or the last one; None before the first."""
        if self._start_ms is not None:
            return self._start_ms
        return self._spurts[-1].start_ms if self._spurts else None

    def spurts(self) -> tuple[Spurt, ...]:
        """All so far, the current one included."""
        current = () if self._start_ms is None else (Spurt(self._start_ms, self._last_loud_ms),)
        return (*self._spurts, *current)
