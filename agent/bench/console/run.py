"""One run: the same pages of the same database with few calls in it, and with many.

scratch database ─▶ 1 000 calls ─▶ server, visitor ─▶ figures ─▶ … 100 000 calls ─▶ server, visitor ─▶ figures, ratios
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from agent.bench.console.filling import check_empty, fill, personas_of
from agent.bench.console.history import History
from agent.bench.console.log import STEPS, write_calls
from agent.bench.console.pages import Page, Visitor, pages
from agent.bench.gateway.processes import Child, child
from personas import migrate
from personas.accounts import Accounts
from personas.db import Database
from personas.roles import Role

REFERENCE = 1_000
_FILES = 2  # readings of a file of everything
_WRITTEN = 40
_STARTS_S = 120.0
_ANSWERS_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: where, how many calls, how many readings of each page, which pages (parts of their names)."""

    url: str
    folder: Path
    calls: int
    times: int
    seed: int
    only: str = ""


async def measure(plan: Plan, done: Callable[[str], None]) -> dict[str, Any]:
    """Fill the database and read its pages, first with ``REFERENCE`` calls, then with all.

    Raises:
        NotEmpty: it has calls already; nothing was changed.
        DatabaseError: it can't be reached.
        BenchFailed: the server died, or a page is an error.
    """
    await asyncio.to_thread(check_empty, plan.url)
    await asyncio.to_thread(migrate.upgrade, plan.url)
    until = datetime.now(UTC)
    history = History(await personas_of(plan.url), until, plan.seed)
    sizes, there = [], 0
    for batch, size in enumerate(sorted({min(REFERENCE, plan.calls), plan.calls})):

        def added(number: int, size: int = size) -> None:
            nonlocal there
            there += number
            done(f"{there:,} of {size:,} calls made")

        await asyncio.to_thread(fill, plan.url, history, size - there, batch, added)
        sizes.append({"calls": size} | await _at_size(plan, size, done))
    found = {"database": migrate.sync_url(plan.url).get_backend_name(), "until": until.isoformat(), "seed": plan.seed}
    return found | {"times": plan.times, "sizes": sizes}


async def _at_size(plan: Plan, size: int, done: Callable[[str], None]) -> dict[str, Any]:
    database = Database(plan.url)
    name, password = f"bench-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    environment = {
        "PARLEY_DATABASE_URL": plan.url,
        "PARLEY_DATA_DIR": str(plan.folder / f"data-{size}"),
        "LOGURU_LEVEL": "WARNING",
    }
    try:
        await Accounts(database).add(name, password, Role.ADMIN)
        size_mb = await _size_mb(database)
        some = [page for page in await pages(database) if plan.only in page.name]
        async with child("server", "agent.bench.console.server", environment) as server:
            hello = await server.read(_STARTS_S)
            visitor = Visitor(f"http://127.0.0.1:{hello['port']}")
            try:
                await visitor.sign_in(name, password)
                read = []
                for page in some:
                    done(f"{size:,} calls: {page.name}")
                    read.append(await _read(page, plan.times, visitor, server, hello["pid"]))
                done(f"{size:,} calls: writing")
                written = await _write(database, visitor, some)
            finally:
                await visitor.close()
                server.tell({"do": "stop"})
    finally:
        await database.close()
    return {"database_mb": round(size_mb, 1), "bytes_a_call": round(1e6 * size_mb / size), "pages": read} | written


async def _read(page: Page, times: int, visitor: Visitor, server: Child, pid: int) -> dict[str, Any]:
    first = await visitor.load(page)
    await server.ask("figures")
    loads = [await visitor.load(page) for _ in range(_FILES if page.file else times)]
    figures = await server.ask("figures")
    return {
        "page": page.name,
        "bytes": loads[-1].size_bytes,
        "first_time_ms": round(first.whole_ms, 1),
        "first_byte_ms": spread([each.first_byte_ms for each in loads]),
        "whole_ms": spread([each.whole_ms for each in loads]),
        "loop_lag_ms": {"p95": round(figures["loop_lag_p95_ms"], 1), "max": round(figures["loop_lag_max_ms"], 1)},
        "memory_mb": round(_peak_mb(pid), 1),
    }


async def _write(database: Database, visitor: Visitor, some: Sequence[Page]) -> dict[str, Any]:
    """Log calls with nothing beside, then while the heaviest pages are read, which lets the figures of both be seen."""
    alone = await write_calls(database, _WRITTEN)
    heavy = [page for page in some if page.file or page.name.startswith("overview")][-8:]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        beside = group.create_task(write_calls(database, 0, stop))
        for page in heavy:
            await visitor.load(page)
        stop.set()
    steps = {step: {"alone": spread(alone.ms[step]), "beside": spread(beside.result().ms[step])} for step in STEPS}
    return {"log_ms": steps}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, 95th percentile and maximum; zeros of nothing."""
    found = np.percentile(values, (50, 95, 100)) if values else np.zeros(3)
    return dict(zip(("p50", "p95", "max"), (round(float(each), 1) for each in found), strict=True))


async def _size_mb(database: Database) -> float:
    is_sqlite = database.url.get_backend_name() == "sqlite"
    sqlite = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    async with database.session() as session:
        found = await session.execute(text(sqlite if is_sqlite else "SELECT pg_database_size(current_database())"))
        return found.scalar_one() / 1e6


def _peak_mb(pid: int) -> float:
    """Return the most memory that a process had, 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
