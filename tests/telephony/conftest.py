"""A real server on a free port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from fastapi import FastAPI

from telephony.carriers.twilio import TwilioCarrier
from telephony.limits import LineLimits
from telephony.routes import telephony_router
from telephony.simulator import Phone
from tests.telephony.line import OLD_TOKEN, TOKEN, Handler, Line


@pytest.fixture
async def run_app() -> AsyncIterator[Callable[[FastAPI], str]]:
    """``run_app(app)`` → the origin it is served at; routes may be added as long as no request has come."""
    servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    def start(app: FastAPI) -> str:
        config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        listening = config.bind_socket()
        listening.listen()  # calls may come before the server has started
        server = uvicorn.Server(config)
        servers.append((server, asyncio.create_task(server.serve(sockets=[listening]))))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for server, task in servers:
        server.should_exit = True
        await task


@pytest.fixture
def serve(run_app: Callable[[FastAPI], str]) -> Callable[..., Awaitable[Line]]:
    """``await serve(handler, public_url=…, auth_tokens=…, start_timeout_s=…)`` → Line."""

    async def start(
        handler: Handler | None = None,
        *,
        auth_tokens: tuple[str, ...] = (TOKEN, OLD_TOKEN),
        start_timeout_s: float = 0.5,
        phone_token: str = TOKEN,
        public_url: str = "",
        limits: LineLimits | None = None,
    ) -> Line:
        handler = handler or Handler()
        app = FastAPI()
        url = run_app(app)
        carrier = TwilioCarrier(public_url or url, auth_tokens)
        app.include_router(telephony_router(carrier, handler, start_timeout_s=start_timeout_s, limits=limits))
        return Line(url, handler, Phone(url, phone_token, public_url=public_url))

    return start
