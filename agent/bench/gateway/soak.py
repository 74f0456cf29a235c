"""Many calls for a long time, beginning and ending all the while: is anything left of those that are over?

cohort A ──30 s──▶ ends, begins anew …        every ten seconds: memory, tasks, threads, open files
   cohort B ──30 s──▶ ends, begins anew …     at the end, without a call: the same again
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from agent.bench.gateway.processes import PARLEY, Server, phones, server

COHORTS = 2
CALL_S = 30.0
_SAMPLE_S = 10.0
_CONNECTS_S = 60.0
_ENDED_S = 3.0
MOST_GROWTH_MB = 2.0  # over the second half: samples differ by that much without any trend
MOST_GROWTH_MB_PER_HOUR = 12.0
_POOLED = 10  # threads and files that pools keep open between calls


@dataclass(frozen=True, slots=True)
class Sample:
    """The server at one moment."""

    at_s: float
    memory_mb: float
    tasks: int
    sockets: int
    threads: int
    files: int


@dataclass(slots=True)
class Soaked:
    """A soak's samples; ``idle`` is before the first call and ``after`` once the last is over."""

    calls: int
    minutes: float
    idle: Sample
    after: Sample
    samples: list[Sample]
    calls_held: int = 0
    latency_p95_ms: float = 0.0
    errors: list[str] = field(default_factory=list)

    @property
    def growth_mb_per_hour(self) -> float:
        """The slope of memory over the second half, when every pool has found its size."""
        late = [sample for sample in self.samples if sample.at_s >= self.minutes * 30]
        if len(late) < 3:
            return 0.0
        return float(np.polyfit([one.at_s for one in late], [one.memory_mb for one in late], 1)[0]) * 3600

    @property
    def left_over(self) -> dict[str, int]:
        """What there is more of without calls than before the first."""
        names = ("tasks", "sockets", "threads", "files")
        return {name: getattr(self.after, name) - getattr(self.idle, name) for name in names}

    @property
    def is_flat(self) -> bool:
        """Whether nothing grows and nothing is left."""
        growth_mb = self.growth_mb_per_hour * self.minutes / 120
        left = self.left_over
        return (
            growth_mb <= max(MOST_GROWTH_MB, MOST_GROWTH_MB_PER_HOUR * self.minutes / 120)
            and max(left["tasks"], left["sockets"]) <= 0
            and max(left["threads"], left["files"]) <= _POOLED
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "minutes": self.minutes,
            "calls_held": self.calls_held,
            "flat": self.is_flat,
            "memory_growth_mb_per_hour": round(self.growth_mb_per_hour, 2),
            "left_over": self.left_over,
            "latency_p95_ms": round(self.latency_p95_ms, 1),
            "errors": self.errors,
            "idle": asdict(self.idle),
            "after": asdict(self.after),
            "samples": [asdict(sample) for sample in self.samples],
        }


async def soak(calls: int, minutes: float, done: Callable[[str], None]) -> Soaked:
    """Keep ``calls`` calls up for so long, in two cohorts whose calls end and begin anew every half minute.

    Raises:
        BenchFailed: a process died or did not answer.
    """
    begin_s = time.monotonic()
    samples: list[Sample] = []
    cohorts = [_Cohort(calls // COHORTS + (n < calls % COHORTS), 1 + n * calls) for n in range(min(COHORTS, calls))]
    async with server(PARLEY) as one:
        await _Cohort(calls, 0).hold(one, 2.0)
        idle = await _sample(one, begin_s)
        end_s = time.monotonic() + minutes * 60
        async with asyncio.TaskGroup() as group:
            for position, cohort in enumerate(cohorts):
                group.create_task(cohort.keep(one, end_s, position * CALL_S / COHORTS))
            while time.monotonic() < end_s:
                await asyncio.sleep(min(_SAMPLE_S, max(0.0, end_s - time.monotonic())))
                samples.append(await _sample(one, begin_s))
                done(f"soak, {samples[-1].at_s:.0f} s: {samples[-1].memory_mb:.0f} MB, {samples[-1].tasks} tasks")
        await asyncio.sleep(_ENDED_S)
        after = await _sample(one, begin_s, tidy=True)
    latencies = [latency for cohort in cohorts for latency in cohort.latencies_ms]
    return Soaked(
        calls=calls,
        minutes=minutes,
        idle=idle,
        after=after,
        samples=samples,
        calls_held=sum(cohort.held for cohort in cohorts),
        latency_p95_ms=float(np.percentile(latencies, 95)) if latencies else 0.0,
        errors=sorted({error for cohort in cohorts for error in cohort.errors}),
    )


@dataclass(slots=True)
class _Cohort:
    """Calls that begin and end together, again and again."""

    calls: int
    seed: int
    held: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    errors: set[str] = field(default_factory=set)

    async def keep(self, one: Server, end_s: float, delay_s: float) -> None:
        await asyncio.sleep(min(delay_s, max(0.0, end_s - time.monotonic())))
        while (left_s := end_s - time.monotonic()) > 2.0:
            await self.hold(one, min(CALL_S, left_s))

    async def hold(self, one: Server, seconds: float) -> None:
        async with phones(one.load(self.calls, seconds, self.seed)) as load:
            for _ in range(2):
                await load.read(seconds + _CONNECTS_S)
            over = await load.read(_CONNECTS_S + seconds)
        self.held += self.calls
        self.errors.update(call["error"] for call in over["calls"] if call["error"])
        self.latencies_ms += [ms for call in over["calls"] for _, ms in call["bursts"] if ms is not None]


async def _sample(one: Server, begin_s: float, *, tidy: bool = False) -> Sample:
    figures = await one.child.ask("figures", tidy=tidy)
    return Sample(
        at_s=round(time.monotonic() - begin_s, 1),
        memory_mb=round(figures["memory_mb"], 2),
        tasks=figures["tasks"],
        sockets=figures["sockets"],
        threads=figures["threads"],
        files=figures["files"],
    )
