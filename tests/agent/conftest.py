"""What the tests of the call share: a whole server."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Thread

import pytest

from agent.duplex import DuplexEngine
from tests.agent.exchange import Exchange, exchange, furnish

Open = Callable[..., Awaitable[Exchange]]


@pytest.fixture(scope="session")
def furnished(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with a user and with personas on their numbers, that tests copy."""
    path = tmp_path_factory.mktemp("furnished") / "parley.db"
    shutil.copyfile(sqlite_template, path)
    furnishing = Thread(target=asyncio.run, args=(furnish(f"sqlite+aiosqlite:///{path}"),))
    furnishing.start()
    furnishing.join()
    return path


@pytest.fixture
async def open_exchange(tmp_path: Path, furnished: Path) -> AsyncIterator[Open]:
    """``await open_exchange(engine, max_call_s=1, …)`` → a running server; the engine is loopback unless given."""
    async with AsyncExitStack() as stack:

        async def start(engine: DuplexEngine | None = None, **settings: object) -> Exchange:
            return await stack.enter_async_context(exchange(tmp_path, furnished, engine, **settings))

        yield start
