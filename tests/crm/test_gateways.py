"""Who takes calls is known to all who share a database, and who is gone is forgotten."""

import asyncio
import os
import socket
import sys
from datetime import UTC, datetime

from sqlalchemy import select, update

from crm.gateways import ALIVE, Gateways
from crm.tables import GatewayRow
from personas.db import Database


async def test_others_are_seen_until_they_leave_or_fall_silent(database: Database) -> None:
    one, other = Gateways(database, "one:1"), Gateways(database, "other:2")
    await one.beat()
    await one.beat()
    assert not await one.any_other()
    assert await other.any_other()
    await other.beat()
    assert await one.any_other()
    await other.leave()
    await other.leave()
    assert not await one.any_other()
    async with database.session() as session:
        await session.execute(update(GatewayRow).values(seen_at=datetime.now(UTC) - ALIVE))
    assert not await other.any_other()


async def test_who_was_killed_on_this_host_is_gone_at_once(database: Database) -> None:
    host = socket.gethostname()
    dead = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await dead.wait()
    here = Gateways(database, f"{host}:{os.getpid()}")
    await here.beat()
    await Gateways(database, f"{host}:{dead.pid}").beat()
    assert not await here.any_other()
    await Gateways(database, f"{host}:{os.getppid()}").beat()
    assert await here.any_other()


async def test_who_has_been_silent_for_minutes_is_struck_off(database: Database) -> None:
    one, other = Gateways(database, "one:1"), Gateways(database, "other:2")
    await other.beat()
    async with database.session() as session:
        await session.execute(update(GatewayRow).values(seen_at=datetime.now(UTC) - 11 * ALIVE))
    await one.beat()
    async with database.session() as session:
        assert list(await session.scalars(select(GatewayRow.name))) == ["one:1"]
