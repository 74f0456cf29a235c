"""Events reach every subscriber in order; a slow one loses the oldest and holds nobody up."""

import asyncio

from agent.live import QUEUED_EVENTS, LiveCalls, Spoke


async def collect(live: LiveCalls, into: list[int]) -> None:
    async for _, event in live.subscribe():
        assert isinstance(event, Spoke)
        into.append(event.at_ms)


async def test_all_subscribers_see_the_latest_events_until_it_closes() -> None:
    live, one, other = LiveCalls(), list[int](), list[int]()
    live.publish("c", Spoke("caller", 0, "nobody listens yet"))
    async with asyncio.TaskGroup() as group:
        group.create_task(collect(live, one))
        group.create_task(collect(live, other))
        await asyncio.sleep(0)
        for at_ms in range(1, QUEUED_EVENTS + 6):
            live.publish("c", Spoke("caller", at_ms, "word"))
        await asyncio.sleep(0)
        live.close()
    assert one == other == list(range(6, QUEUED_EVENTS + 6))
