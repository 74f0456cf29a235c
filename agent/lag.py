"""How late the event loop is: what a call's audio waits for before anything else does.

due every 50 ms ──▶ ran late by x ──▶ x, and x - 50, x - 100 … for the ticks that never came ──▶ p95 of the last 5 s
"""

import asyncio
from collections import deque
from collections.abc import Callable

TICK_S = 0.05
WINDOW_S = 5.0


class LoopLag:
    """Measures the loop it was started in, at a cost of 20 wakeups a second, or one every ``tick_s``. Milliseconds.

    A stall swallows ticks; each of them is counted with what was left of the stall when it was due, else a loop
    that stands still half of the time would look almost idle.
    """

    def __init__(
        self, window_s: float = WINDOW_S, on_lag: Callable[[float], None] | None = None, tick_s: float = TICK_S
    ) -> None:
        self._tick_s = tick_s
        self._lags_ms: deque[float] = deque(maxlen=max(1, round(window_s / tick_s)))
        self._on_lag = on_lag
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    def start(self) -> None:
        """Begin to measure the running loop; harmless twice."""
        if self._timer is None:
            self._schedule(asyncio.get_running_loop())

    def stop(self) -> None:
        """Measure no more; what was measured stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def percentile_ms(self, share: float = 0.95) -> float:
        """Return the lag that ``share`` of the window's ticks did not exceed; 0 before the first."""
        lags = sorted(self._lags_ms)
        return lags[min(len(lags) - 1, int(share * len(lags)))] if lags else 0.0

    @property
    def is_settled(self) -> bool:
        """Whether a whole window has been measured: the first ticks of a process are late for reasons that pass."""
        return len(self._lags_ms) == self._lags_ms.maxlen

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = loop.time() + self._tick_s
        self._timer = loop.call_at(self._due_s, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        late_s = max(0.0, loop.time() - self._due_s)
        while late_s >= 0:
            self._lags_ms.append(late_s * 1000)
            if self._on_lag:
                self._on_lag(late_s * 1000)
            late_s -= self._tick_s
        self._schedule(loop)
