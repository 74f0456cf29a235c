"""What the tests of the call share: a whole server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agent.duplex import DuplexEngine
from tests.agent.exchange import Exchange, exchange

Open = Callable[..., Awaitable[Exchange]]


@pytest.fixture
async def open_exchange(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Open]:
    """``await open_exchange(engine, max_call_s=1, …)`` → a running server; the engine is loopback unless given."""
    async with AsyncExitStack() as stack:

        async def start(engine: DuplexEngine | None = None, **settings: object) -> Exchange:
            return await stack.enter_async_context(exchange(tmp_path, sqlite_template, engine, **settings))

        yield start
