"""How soon a child process that died is started again: at once when it had lived, ever later while it dies young."""

import asyncio
import contextlib
import time

_LIVED_S = 60.0
_FIRST_PAUSE_S = 1.0


class Restarts:
    """The pauses between one child's lives: 1 s after a long one, else 2, 4 … ``longest_pause_s`` seconds."""

    def __init__(self, longest_pause_s: float) -> None:
        self._longest_pause_s = longest_pause_s
        self._pause_s = _FIRST_PAUSE_S
        self._began_s = 0.0

    def began(self) -> None:
        """Note that a life begins."""
        self._began_s = time.monotonic()

    async def pause(self, stop: asyncio.Event) -> None:
        """Wait until it may live again, or until ``stop``."""
        lived = time.monotonic() - self._began_s > _LIVED_S
        self._pause_s = _FIRST_PAUSE_S if lived else min(2 * self._pause_s, self._longest_pause_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await stop.wait()
