"""A measured server's own account of itself: it answers the bench over its standard input and output.

    {"do": "figures"} ──▶ CPU seconds, memory, loop lag, tasks, sockets, threads, files
    {"do": "stall", "ms": 300} ──▶ the event loop stands still that long
    {"do": "stop"}, or the end of the input ──▶ stopped

Baselines use it too, so that all are measured by one rule. It belongs to the bench's servers and to no product's.
"""

import asyncio
import contextlib
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.lag import TICK_S, LoopLag

_LAG_WINDOW_S = 600.0


class Probe:
    """One server's probe; make it in the running loop, then ``announce`` the port."""

    def __init__(self, lag_tick_s: float = TICK_S) -> None:
        self.stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._lag_tick_s = lag_tick_s
        self._lag = self._new_lag()
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else prints: not between our answers

    def announce(self, port: int, **more: str) -> None:
        """Tell the bench where to call, and begin to listen to it."""
        threading.Thread(target=self._listen, name="probe", daemon=True).start()
        self._say({"port": port, "pid": os.getpid(), **more})

    def _listen(self) -> None:
        for line in sys.stdin:
            request = json.loads(line)
            self._loop.call_soon_threadsafe(self._obey, request)
        self._loop.call_soon_threadsafe(self.stopped.set)

    def _obey(self, request: Mapping[str, Any]) -> None:
        match request["do"]:
            case "figures":
                self._say(self._figures(tidy=request.get("tidy", False)))
            case "stall":
                time.sleep(request["ms"] / 1000)
                self._say({})
            case "stop":
                self.stopped.set()

    def _figures(self, *, tidy: bool) -> dict[str, float]:
        if tidy:
            gc.collect()
        lag, self._lag = self._lag, self._new_lag()
        lag.stop()
        return {
            "cpu_s": time.process_time(),
            "at_s": time.monotonic(),
            "memory_mb": _memory_mb(),
            "loop_lag_p95_ms": lag.percentile_ms(),
            "loop_lag_max_ms": lag.percentile_ms(1.0),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            **_descriptors(),
        }

    def _new_lag(self) -> LoopLag:
        lag = LoopLag(_LAG_WINDOW_S, tick_s=self._lag_tick_s)
        lag.start()
        return lag

    def _say(self, answer: Mapping[str, object]) -> None:
        self._out.write(json.dumps(answer) + "\n")


def _descriptors() -> dict[str, int]:
    """Return how many files and sockets are open, zeros where the system does not tell."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # the one that reads the folder
                found.append(str(descriptor.readlink()))
    return {"files": len(found), "sockets": sum(target.startswith("socket:") for target in found)}


def _memory_mb() -> float:
    """Return the resident set, where the system tells it; else the largest it was. (A share of common pages would
    fall when a process beside this one maps them.)"""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1024
