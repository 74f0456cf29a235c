"""What Prometheus reads from an engine's process: calls, frames, slots, and the device loop's own counts."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.duplex import DuplexEngine

_READY_S = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30)
_QUANTILES = (0.5, 0.95, 0.99, 1.0)


class LoopCounters(Protocol):
    """What a device loop counts since its start; the durations are the latest ones, in seconds."""

    ticks: int
    late_frames: int
    shed_frames: int
    prompts: int
    anchors: int
    lost_calls: int
    tick_s: Iterable[float]
    prompt_s: Iterable[float]


class PromptCache(Protocol):
    """What is kept of voices and role prompts."""

    hits: int
    misses: int
    byte_count: int


class ServerMetrics:
    """One server's registry; ``text`` is what ``/metrics`` answers."""

    def __init__(self, engine: DuplexEngine) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._calls = Counter("parley_chat_calls", "Calls that have ended, by how.", ["outcome"], registry=registry)
        self._refused = Counter("parley_chat_refused", "Calls refused, by status.", ["status"], registry=registry)
        self.frames_in = Counter("parley_chat_frames_in", "Frames heard from clients.", registry=registry)
        self.frames_out = Counter("parley_chat_frames_out", "Frames said to clients.", registry=registry)
        self.ready_s = Histogram(
            "parley_chat_ready_seconds", "From the connection to the handshake.", buckets=_READY_S, registry=registry
        )
        self.draining = Gauge(
            "parley_engine_draining",
            "1 while no more calls are taken and live ones may end.",
            registry=registry,
        )
        registry.register(_EngineCollector(engine))

    def ended(self, outcome: str) -> None:
        self._calls.labels(outcome).inc()

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _EngineCollector(Collector):
    """Reads an engine when Prometheus asks."""

    def __init__(self, engine: DuplexEngine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        capacity = self._engine.capacity()
        yield GaugeMetricFamily("parley_engine_slots", "Calls the engine carries at once.", capacity.slots)
        yield GaugeMetricFamily("parley_engine_slots_used", "Calls the engine carries now.", capacity.used)
        counters: LoopCounters | None = getattr(self._engine, "counters", None)
        if counters is not None:
            yield from self._counted(counters)
            yield _quantiles("parley_engine_tick_seconds", "Duration of the latest ticks.", counters.tick_s)
            yield _quantiles("parley_engine_prompt_seconds", "From open to ready, latest calls.", counters.prompt_s)
        cache: PromptCache | None = getattr(self._engine, "cache", None)
        if cache is not None:
            yield CounterMetricFamily("parley_engine_cache_hits", "Voices and prompts found kept.", cache.hits)
            yield CounterMetricFamily("parley_engine_cache_misses", "Voices and prompts not found.", cache.misses)
            yield GaugeMetricFamily("parley_engine_cache_bytes", "Size of what is kept.", cache.byte_count)

    def _counted(self, counters: LoopCounters) -> Iterator[Metric]:
        for name, text in {
            "ticks": "Ticks of the device.",
            "late_frames": "Frames answered more than 80 ms after they came.",
            "shed_frames": "Frames dropped from a backlog.",
            "prompts": "Role prompts taken in.",
            "anchors": "Calls whose context was rebuilt as role prompt and latest past.",
            "lost_calls": "Calls lost by the engine.",
        }.items():
            yield CounterMetricFamily(f"parley_engine_{name}", text, getattr(counters, name))


def _quantiles(name: str, text: str, durations: Iterable[float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["quantile"])
    values = np.array(tuple(durations))
    if values.size:
        for quantile, value in zip(_QUANTILES, np.quantile(values, _QUANTILES), strict=True):
            family.add_metric([str(quantile)], float(value))
    return family
