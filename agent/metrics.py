"""What Prometheus reads from the gateway: calls, webhooks, the event loop's lag, and what the line did to each call.

live calls' events ──▶ counters        webhooks ──▶ Timed ──▶ seconds        loop ──▶ LoopLag ──▶ lag

Where several workers serve one port, each of them answers for all: with PROMETHEUS_MULTIPROC_DIR set,
prometheus-client keeps the values in files of that folder.
"""

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.live import CallOver, CallStarted, LiveEvent, Noted

SHARED = "PROMETHEUS_MULTIPROC_DIR"
REFUSED = "refused"
"""The kind of ``Noted`` whose detail is the outcome of a call that was not answered."""

_WEBHOOK_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LAG_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
_BACKLOG_S = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.4, 1, 2)
_ALARMS = frozenset(
    {
        *("one_way_audio", "line_lossy", "agent_choppy", "playout_late", "agent_faint", "agent_late"),
        "customer_lookup_failed",
    }
)


class GatewayMetrics:
    """One process's figures; ``text`` is what ``/metrics`` answers, for all workers of the port.

    ``recordings`` is the folder whose disk is looked at.
    """

    def __init__(self, recordings: Path) -> None:
        self._recordings = recordings
        registry = CollectorRegistry()
        self._registry = registry
        self._live = Gauge("parley_calls_live", "Calls connected now.", registry=registry, multiprocess_mode="livesum")
        self._ended = Counter("parley_calls", "Calls that are over, by outcome.", ["outcome"], registry=registry)
        self._webhook = Histogram(
            "parley_webhook_seconds",
            "From a carrier's webhook to its answer.",
            ["path", "status"],
            buckets=_WEBHOOK_S,
            registry=registry,
        )
        self._lag = Histogram(
            "parley_loop_lag_seconds", "Lateness of the event loop.", buckets=_LAG_S, registry=registry
        )
        self._backlog = Histogram(
            "parley_playout_backlog_seconds",
            "What waited to be played in a call, its 95th percentile.",
            buckets=_BACKLOG_S,
            registry=registry,
        )
        self._underruns = Counter("parley_underruns", "Holes in the agent's speech.", registry=registry)
        self._gaps = Counter("parley_line_gaps", "Holes in the callers' audio, filled with silence.", registry=registry)
        self._shed = Counter("parley_shed_seconds", "Silence of the agent not sent.", registry=registry)
        self._alarms = Counter("parley_call_alarms", "Alarms of calls, by kind.", ["kind"], registry=registry)
        disk = {"registry": registry, "multiprocess_mode": "mostrecent"}
        self._free = Gauge("parley_data_free_bytes", "Room left on the recordings' disk.", **disk)
        self._size = Gauge("parley_data_size_bytes", "Size of the recordings' disk.", **disk)
        self._connected: set[str] = set()

    def lag(self, lag_ms: float) -> None:
        """Count one measurement of the event loop."""
        self._lag.observe(lag_ms / 1000)

    def webhook(self, path: str, status: int, seconds: float) -> None:
        """Count one webhook; ``path`` is one of the carrier's routes."""
        self._webhook.labels(path, str(status)).observe(seconds)

    def count(self, call_id: str, event: LiveEvent) -> None:
        """Count one event of a call."""
        match event:
            case CallStarted():
                self._connected.add(call_id)
            case CallOver():
                self._connected.discard(call_id)
                self._ended.labels(event.outcome).inc()
                self._over(event.figures)
            case Noted(kind=kind, detail=outcome) if kind == REFUSED:
                self._ended.labels(outcome).inc()
            case Noted(kind=kind) if kind in _ALARMS:
                self._alarms.labels(kind).inc()
        self._live.set(len(self._connected))

    def text(self) -> bytes:
        """Return the figures in Prometheus' text format; reads files where there are several workers."""
        with suppress(OSError):
            disk = shutil.disk_usage(self._recordings)
            self._free.set(disk.free)
            self._size.set(disk.total)
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        everyone = CollectorRegistry()
        multiprocess.MultiProcessCollector(everyone)
        return generate_latest(everyone)

    def _over(self, figures: Mapping[str, float]) -> None:
        self._backlog.observe(figures.get("playout_backlog_p95_ms", 0) / 1000)
        self._underruns.inc(figures.get("underruns", 0))
        self._gaps.inc(figures.get("line_gaps", 0))
        self._shed.inc(figures.get("silence_shed_ms", 0) / 1000)


def is_allowed(token: str, authorization: str) -> bool:
    """Whether a request's Authorization header bears ``token``; without a token everybody may read."""
    return not token or secrets.compare_digest(f"Bearer {token}".encode(), authorization.encode())


class Timed:
    """ASGI middleware that times the requests to the carrier's routes."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics, paths: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            self._metrics.webhook(scope["path"], status, time.perf_counter() - began_s)
