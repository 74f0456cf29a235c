"""Who takes calls is known to all who share a database, and who is gone is forgotten."""

import asyncio
import os
import socket
import sys
from datetime import UTC, datetime

from sqlalchemy import update

from crm.gateways import ALIVE, Gateways, Told, own_name, place_of
from crm.store import CallStore
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
    host = place_of(own_name())
    dead = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await dead.wait()
    here = Gateways(database, f"{host}:{os.getpid()}")
    await here.beat()
    await Gateways(database, f"{host}:{dead.pid}").beat()
    assert not await here.any_other()
    await Gateways(database, f"{host}:{os.getppid()}").beat()
    assert await here.any_other()


async def test_who_drains_takes_no_calls_and_is_found_all_the_same(database: Database) -> None:
    one, other = Gateways(database, "one:1"), Gateways(database, "other:2", Told("http://10.0.0.2:8080", "s", "f"))
    await other.beat()
    assert await one.any_other()
    await other.beat(takes_calls=False)
    assert not await one.any_other()
    assert [(each.name, each.told) for each in await one.others()] == [("other:2", other.told)]
    assert (await one.address("other:2"), await one.address("third:3")) == ("http://10.0.0.2:8080", "")


async def test_who_leaves_open_calls_stays_in_the_list(database: Database, new_call) -> None:
    one, other = Gateways(database, "one:1"), Gateways(database, "other:2")
    store = CallStore(database, "other:2")
    call_id = (await store.open_call(new_call())).call.id
    await other.beat()
    await other.leave()
    assert [each.name for each in await one.others()] == ["other:2"]
    await store.finish(call_id, status="ended", outcome="caller_hung_up")
    await other.leave()
    assert await one.others() == []


async def test_what_a_silent_process_left_is_taken_over_by_one(database: Database) -> None:
    one, two, silent = (Gateways(database, name) for name in ("one:1", "two:2", "silent:3"))
    await silent.beat()
    (seen,) = await one.others()
    assert await one.take_over(seen)
    assert not await two.take_over(seen)
    assert not await two.any_other()
    (claimed,) = await two.others()
    assert await two.take_over(claimed), "who claimed it may die too"
    await silent.beat()
    assert not await one.take_over(claimed), "it is back"
    await one.strike("silent:3")
    assert await one.others() == []


def test_the_name_of_a_host_alone_names_no_place() -> None:
    """Two machines may be called the same, and each would take the other's processes for dead."""
    assert own_name().startswith(f"{socket.gethostname()}.")
    assert place_of(own_name()) != socket.gethostname()
    assert own_name().endswith(f":{os.getpid()}")
