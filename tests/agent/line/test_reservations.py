"""A reserved slot is taken, given back when another process carries the call, or freed in the end."""

import asyncio

import pytest

from agent.engines.loopback import LoopbackEngine
from agent.line import reservations
from agent.line.reservations import Reservations
from agent.pipeline.attendant import Duties
from agent.role import role_for
from tests.agent.exchange import card


@pytest.fixture(autouse=True)
def quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "CHECK_S", 0.05)


async def nothing_more() -> Duties:
    return Duties()


async def hold(held: Reservations, engine: LoopbackEngine) -> None:
    held.hold("CA1", await engine.open(role_for(card(), None)), nothing_more())
    assert engine.capacity().used == held.count == 1


async def test_a_call_that_another_process_carries_frees_its_slot_soon_and_silently() -> None:
    engine, expired, asked = LoopbackEngine(1, 0), [], []

    async def on_expired(call_id: str) -> None:
        expired.append(call_id)

    async def is_carried(call_id: str) -> bool:
        asked.append(call_id)
        return len(asked) > 1

    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        held = Reservations(group, on_expired, 60, is_carried)
        await hold(held, engine)
        await held.until_none()
    assert asked == ["CA1", "CA1"]
    assert engine.capacity().used == 0
    assert expired == []


async def test_a_slot_that_nobody_takes_expires() -> None:
    engine, expired = LoopbackEngine(1, 0), []

    async def on_expired(call_id: str) -> None:
        expired.append(call_id)

    async with asyncio.TaskGroup() as group, asyncio.timeout(5):
        held = Reservations(group, on_expired, 0.12)
        await hold(held, engine)
        await held.until_none()
    assert (expired, engine.capacity().used) == (["CA1"], 0)


async def test_a_slot_that_is_taken_stays_with_its_call() -> None:
    engine = LoopbackEngine(1, 0)

    async def on_expired(call_id: str) -> None:
        raise AssertionError

    async with asyncio.TaskGroup() as group:
        held = Reservations(group, on_expired, 0.1)
        await hold(held, engine)
        await asyncio.sleep(0)
        taken = held.take("CA1")
        assert taken is not None
        assert taken.duties.done()  # before the call has come
        await held.until_none()
        await asyncio.sleep(0.2)
    assert engine.capacity().used == 1
