"""Slices → the figures that are printed: latency by percentiles, out to in, cost of a call."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np

from agent.bench.gateway.run import Slice

_ENDS = 3  # bursts at either end of a call whose median latency tells whether it drifts
LOAD_IS_LATE_MS = 5.0
LOAD_IS_BUSY_PCT = 80.0


def as_json(found: Mapping[str, Sequence[Sequence[Slice]]]) -> dict[str, list[dict[str, Any]]]:
    """Return what `parley bench gateway --json` prints: by system, a row for each number of calls."""
    return {name: [row(slices) for slices in rows] for name, rows in found.items()}


def row(slices: Sequence[Slice]) -> dict[str, Any]:
    """Return one number of calls' figures over its rounds; latencies are of all bursts together.

    A call's first burst is said 0.2 s after its stream began, and all calls of a round begin within 80 ms.
    """
    calls = [call for one in slices for call in one.bursts]
    latencies = [latency for call in calls for _, latency in call]
    ratios = [ratio for call in calls if (ratio := real_time_ratio(call)) is not None]
    return {
        "calls": slices[0].calls,
        "cpu_per_call_pct": round(fmean(one.cpu_per_call_pct for one in slices), 3),
        "memory_per_call_mb": round(slices[0].memory_per_call_mb, 2),  # later rounds reuse what the first has freed
        "latency_ms": _percentiles(latencies, p50=50, p95=95, p99=99),
        "first_burst_ms": _percentiles([call[0][1] for call in calls if call], p50=50, p95=95, max=100),
        "real_time_ratio": round(fmean(ratios), 4) if ratios else 0.0,
        "loop_lag_ms": {"p95": round(max(one.loop_lag_p95_ms for one in slices), 2)},
    }


def _percentiles(latencies: Sequence[float | None], **shares: int) -> dict[str, float | None]:
    """Return percentiles of the bursts that were heard, by name; None where none was."""
    heard = [latency for latency in latencies if latency is not None]
    return {name: round(float(np.percentile(heard, share)), 1) if heard else None for name, share in shares.items()}


def real_time_ratio(bursts: Sequence[Sequence[float | None]]) -> float | None:
    """Return how fast what was heard of a call advanced, to what was said; lost bursts count as not heard.

    1 is real time; below it the call falls ever further behind, or loses speech. None where too little was said.
    Bursts said too late to have been heard before the end are not counted.
    """
    heard = [(said_ms, latency) for said_ms, latency in bursts if said_ms is not None and latency is not None]
    if not heard:
        return 0.0 if bursts else None
    first, last = heard[:_ENDS], heard[-_ENDS:]
    span_ms = heard[-1][0] - heard[0][0]
    due = [said_ms for said_ms, _ in bursts if said_ms is not None and heard[0][0] <= said_ms <= heard[-1][0]]
    if span_ms <= 0 or len(heard) < 2 * _ENDS:
        return len(heard) / len(due)
    drift_ms = median(latency for _, latency in last) - median(latency for _, latency in first)
    return len(heard) / len(due) * span_ms / (span_ms + drift_ms)


def complaints(found: Mapping[str, Sequence[Sequence[Slice]]]) -> list[str]:
    """Return what the figures can't be trusted for: a load that was late or busy itself, calls that broke."""
    said = []
    for name, rows in found.items():
        for one in (one for slices in rows for one in slices):
            where = f"{name}, {one.calls} calls"
            if one.load_lateness_p95_ms > LOAD_IS_LATE_MS or one.load_cpu_pct > LOAD_IS_BUSY_PCT:
                said.append(
                    f"{where}: the load was a bottleneck itself: its packets were "
                    f"{one.load_lateness_p95_ms:.1f} ms late (p95), it took {one.load_cpu_pct:.0f} % of a core."
                )
            said += [f"{where}: {error}." for error in sorted(set(one.errors))]
    return said


def load_figures(found: Mapping[str, Sequence[Sequence[Slice]]]) -> dict[str, float]:
    """Return the worst that the load itself did: lateness p95 in ms and per cent of a core."""
    slices = [one for rows in found.values() for some in rows for one in some]
    return {
        "lateness_p95_ms": round(max(one.load_lateness_p95_ms for one in slices), 2),
        "cpu_pct": round(max(one.load_cpu_pct for one in slices), 1),
    }
