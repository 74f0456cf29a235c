"""Two stalls of the server's event loop, 300 ms each, and how long the calls suffer from them.

latency ▁▁▁▁▁▁█▁▂█▃▁▁▁▁▁▁     normal before ─▶ stalls ─▶ normal again after x s
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.bench.gateway.marker import BURST_MS
from agent.bench.gateway.processes import PARLEY, phones, server

STALL_MS = 300
STALLS = 2
_APART_S = 1.0
_SETTLES_S = 4.0
_WATCHED_S = 10.0
_TOLERANCE_MS = 25.0
_CONNECTS_S = 60.0


@dataclass(frozen=True, slots=True)
class Stalled:
    """``recovered_s`` from the end of the last stall until every burst was as quick as before; None: never."""

    calls: int
    normal_p95_ms: float
    worst_ms: float
    recovered_s: float | None
    lost_bursts: int

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "stalls": STALLS,
            "stall_ms": STALL_MS,
            "normal_p95_ms": round(self.normal_p95_ms, 1),
            "worst_ms": round(self.worst_ms, 1),
            "recovered_s": None if self.recovered_s is None else round(self.recovered_s, 2),
            "lost_bursts": self.lost_bursts,
        }


async def measure_stalls(calls: int, done: Callable[[str], None]) -> Stalled:
    """Hold calls, stall the server twice, and listen on for ten seconds.

    Raises:
        BenchFailed: a process died or did not answer.
    """
    done(f"two stalls, {calls} calls")
    async with server(PARLEY) as one, phones(one.load(calls, _SETTLES_S + _APART_S + _WATCHED_S)) as load:
        await load.read(_CONNECTS_S + calls)  # one second in
        await asyncio.sleep(_SETTLES_S - 1)
        for _ in range(STALLS):
            await one.child.ask("stall", ms=STALL_MS)
            await asyncio.sleep(_APART_S - STALL_MS / 1000)
        await load.read(_WATCHED_S + _CONNECTS_S)
        over = await load.read(_CONNECTS_S + calls)
    first_ms = 1000 * _SETTLES_S
    last_ms = first_ms + 1000 * _APART_S * (STALLS - 1) + STALL_MS
    return judge([call["bursts"] for call in over["calls"]], first_ms, last_ms)


def judge(calls: list[list[list[float | None]]], first_ms: float, last_ms: float) -> Stalled:
    """Compare bursts before ``first_ms``, when the first stall began, with those after ``last_ms``, the last's end."""
    bursts = sorted(((said or 0.0, latency) for call in calls for said, latency in call), key=lambda burst: burst[0])
    before = [latency for said, latency in bursts if latency is not None and said + BURST_MS + latency < first_ms]
    after = [(said, latency) for said, latency in bursts if said + BURST_MS >= first_ms]
    normal_ms = float(np.percentile(before, 95)) if before else 0.0
    late = [said for said, latency in after if latency is None or latency > normal_ms + _TOLERANCE_MS]
    ends_late = bool(late) and late[-1] >= after[-1][0] - BURST_MS
    recovered_ms = max(0.0, max(late, default=0.0) + BURST_MS - last_ms)
    return Stalled(
        calls=len(calls),
        normal_p95_ms=normal_ms,
        worst_ms=max((latency for _, latency in after if latency is not None), default=0.0),
        recovered_s=None if ends_late or not before else recovered_ms / 1000,
        lost_bursts=sum(latency is None for _, latency in after),
    )
