"""A real server on a free port."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from fastapi import FastAPI

from telephony.carriers.twilio import TwilioCarrier
from telephony.routes import telephony_router
from telephony.simulator import Phone
from tests.telephony.line import OLD_TOKEN, TOKEN, Handler, Line


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Line]]]:
    """``await serve(handler, public_url=…, auth_tokens=…, start_timeout_s=…)`` → Line."""
    servers: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def start(
        handler: Handler | None = None,
        *,
        auth_tokens: tuple[str, ...] = (TOKEN, OLD_TOKEN),
        start_timeout_s: float = 0.5,
        phone_token: str = TOKEN,
        public_url: str = "",
    ) -> Line:
        handler = handler or Handler()
        app = FastAPI()
        config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        listening = config.bind_socket()
        listening.listen()  # calls may come before the server has started
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        carrier = TwilioCarrier(public_url or url, auth_tokens)
        app.include_router(telephony_router(carrier, handler, start_timeout_s=start_timeout_s))
        server = uvicorn.Server(config)
        servers.append((server, asyncio.create_task(server.serve(sockets=[listening]))))
        return Line(url, handler, Phone(url, phone_token, public_url=public_url))

    yield start
    for server, task in servers:
        server.should_exit = True
        await task
