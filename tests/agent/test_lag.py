"""A stalled loop is seen, with every tick that the stall swallowed."""

import asyncio
import time

from agent.lag import LoopLag


async def test_an_idle_loop_is_on_time() -> None:
    lag = LoopLag(window_s=0.15)
    lag.start()
    assert not lag.is_settled
    await asyncio.sleep(0.3)
    lag.stop()
    assert lag.is_settled
    assert 0 <= lag.percentile_ms(0.5) < 50


async def test_every_tick_of_a_stall_counts() -> None:
    seen: list[float] = []
    lag = LoopLag(on_lag=seen.append)
    lag.start()
    time.sleep(0.4)  # noqa: ASYNC251 - the stall
    await asyncio.sleep(0.1)
    lag.stop()
    late = [ms for ms in seen if ms > 25]
    assert len(late) >= 6
    assert max(late) >= 300
    assert late == sorted(late, reverse=True)


async def test_nothing_is_measured_after_stop() -> None:
    lag = LoopLag()
    lag.start()
    lag.stop()
    await asyncio.sleep(0.12)
    assert lag.percentile_ms() == 0
