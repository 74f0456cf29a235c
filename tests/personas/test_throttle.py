"""Waiting after wrong passwords: counted once for all processes, ends by itself, and keeps no owner out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from personas.admin import throttle as throttling
from personas.admin.throttle import WINDOW, Limits, Throttle
from personas.db import Database
from personas.tables import SignInAttemptRow

KEY = b"k" * 32
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


class Clock:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(database: Database, clock: Clock) -> Throttle:
    return Throttle(database, KEY, clock=clock)


@pytest.fixture
async def other_process(database_url: str, clock: Clock) -> AsyncIterator[Callable[[], Throttle]]:
    """Makes what another process, or this one after a restart, counts with."""
    databases: list[Database] = []

    def make() -> Throttle:
        databases.append(Database(database_url))
        return Throttle(databases[-1], KEY, clock=clock)

    yield make
    for database in databases:
        await database.close()


async def guess(throttle: Throttle, times: int, account: str = "admin", address: str = HOME) -> list[int]:
    return [await throttle.attempt(account, address) for _ in range(times)]


async def rows(database: Database) -> list[str]:
    async with database.session() as session:
        return list(await session.scalars(select(SignInAttemptRow.key)))


async def test_one_person_waits_after_five_and_not_for_good(throttle: Throttle, clock: Clock) -> None:
    assert await guess(throttle, 5) == [0] * 5
    wait_s = await throttle.attempt(" Admin", HOME)
    assert 0 < wait_s <= WINDOW.total_seconds() + 1
    assert await throttle.attempt("admin", ELSEWHERE) == 0, "the account is free from elsewhere"
    assert await throttle.attempt("ann", HOME) == 0, "others at this address are free"
    clock.now += timedelta(seconds=wait_s)
    assert await throttle.attempt("admin", HOME) == 0


async def test_processes_count_as_one_and_a_restart_forgets_nothing(
    throttle: Throttle, other_process: Callable[[], Throttle]
) -> None:
    workers = [throttle, other_process(), other_process()]
    waits = await asyncio.gather(*(each.attempt("admin", HOME) for each in workers * 6))
    assert [wait_s == 0 for wait_s in waits].count(True) == Limits().pair
    assert await other_process().attempt("admin", HOME) > 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_many_accounts_from_one_address_wait_and_an_ipv6_network_counts_as_one(throttle: Throttle) -> None:
    for number in range(20):
        assert await guess(throttle, 1, account=f"user{number}", address=f"2001:db8:0:1::{number:x}") == [0]
    assert await throttle.attempt("someone", "2001:db8:0:1:ffff::1") > 0
    assert await throttle.attempt("someone", "2001:db8:0:2::1") == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_strangers_everywhere_keep_no_owner_out(database: Database, clock: Clock) -> None:
    throttle = Throttle(database, KEY, Limits(account=10), clock)
    kept = throttle.remembered("Admin ")
    for number in range(10):
        assert await guess(throttle, 1, address=f"192.0.2.{number}") == [0]
    assert await throttle.attempt("admin", ELSEWHERE) > 0
    assert await throttle.attempt("admin", ELSEWHERE, throttle.remembered("ann")) > 0, "it is ann who is known by it"
    assert await throttle.attempt("admin", ELSEWHERE, Throttle(database, b"x" * 32).remembered("admin")) > 0
    assert [await throttle.attempt("admin", HOME, kept) for _ in range(5)] == [0] * 5
    assert await throttle.attempt("admin", HOME, kept) > 0, "who took the browser guesses no more than others"
    await throttle.succeeded("admin", HOME, kept)
    assert await throttle.attempt("admin", HOME, kept) == 0
    assert await throttle.attempt("admin", ELSEWHERE) > 0


async def test_success_takes_the_attempt_back(throttle: Throttle, database: Database) -> None:
    await guess(throttle, 3)
    await throttle.succeeded("admin", HOME)
    assert len(await rows(database)) == 4, "two wrong passwords still count for the address and the account"
    assert await guess(throttle, 5) == [0] * 5


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_rows_are_few_tell_nothing_and_go(
    throttle: Throttle, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "KEPT_ROWS", 30)
    for number in range(20):
        await throttle.attempt(f"user{number}", f"10.0.0.{number}")
    kept = await rows(database)
    assert len(kept) <= 33
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in kept)
    clock.now += WINDOW
    await throttle.attempt("admin", HOME)
    assert len(await rows(database)) == 3
    waits = await guess(throttle, 10)
    assert waits[4:] == [waits[-1]] * 6
    async with database.session() as session:
        assert await session.scalar(select(func.count()).select_from(SignInAttemptRow)) == 15, "waiting adds nothing"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_clock_that_was_set_back_makes_nobody_wait_longer(throttle: Throttle, clock: Clock) -> None:
    await guess(throttle, 5)
    clock.now -= timedelta(minutes=4)
    assert 0 < await throttle.attempt("admin", HOME) <= WINDOW.total_seconds() + 1
    clock.now -= timedelta(days=1)
    assert await throttle.attempt("admin", HOME) == 0
