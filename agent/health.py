"""What the operator's machines ask: does the process live, can it take calls, how does it fare.

GET /health · /ready · /metrics
"""

import asyncio
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from agent.duplex import DuplexEngine
from agent.lag import LoopLag
from agent.line.desks import Desks
from agent.metrics import GatewayMetrics, is_allowed
from personas.db import Database

_READY_S = 2.0


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether the event loop has time for one more call; ``most_ms`` 0 always says yes."""

    lag: LoopLag
    most_ms: float

    def too_busy(self) -> str:
        """Return a sentence while no more calls are taken, else ""."""
        lag_ms = self.lag.percentile_ms()
        if not self.most_ms or lag_ms <= self.most_ms or not self.lag.is_settled:
            return ""
        return f"The event loop runs {lag_ms:.0f} ms late, more than PARLEY_MAX_LOOP_LAG_MS."


@dataclass(frozen=True, slots=True)
class Health:
    """What the answers are made of."""

    database: Database
    engine: DuplexEngine
    desks: Desks
    admission: Admission
    metrics: GatewayMetrics
    metrics_token: str

    def mount(self, app: FastAPI) -> None:
        """Add the three routes."""
        for path, answer in (("/health", self.health), ("/ready", self.ready), ("/metrics", self.show_metrics)):
            app.add_api_route(path, answer, methods=["GET"], include_in_schema=False, response_model=None)

    async def health(self) -> Response:
        """Whether the process lives: restart it if not."""
        return JSONResponse({"status": "ok"})

    async def ready(self) -> Response:
        """Whether calls can be sent here."""
        capacity = self.engine.capacity()
        figures = {
            "engine": self.engine.name,
            "slots": capacity.slots,
            "used": capacity.used,
            "calls": self.desks.live_calls,
            "loop_lag_p95_ms": round(self.admission.lag.percentile_ms(), 1),
        }
        trouble = "The server is shutting down." if self.desks.draining else self.admission.too_busy()
        trouble = trouble or await _database_trouble(self.database)
        if trouble:
            return JSONResponse({"status": "unavailable", "reason": trouble} | figures, status_code=503)
        return JSONResponse({"status": "ready"} | figures)

    async def show_metrics(self, request: Request) -> Response:
        """Prometheus' text format, for whoever has the token."""
        if not is_allowed(self.metrics_token, request.headers.get("authorization", "")):
            return Response("A bearer token is needed.", 401, {"WWW-Authenticate": "Bearer"}, "text/plain")
        return Response(await asyncio.to_thread(self.metrics.text), media_type=CONTENT_TYPE_LATEST)


async def _database_trouble(database: Database) -> str:
    try:
        async with asyncio.timeout(_READY_S), database.session() as session:
            await session.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError):  # TimeoutError is an OSError
        return "The database does not answer."
    return ""
