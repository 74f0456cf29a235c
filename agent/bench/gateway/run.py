"""One measurement after another: the systems take turns, so that what the machine does meanwhile hits all of them."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.bench.gateway.processes import Server, System, phones, server

_CONNECTS_S = 60.0
_WARM_UP_S = 2.0
ROUNDS = 2


@dataclass(slots=True)
class Slice:
    """What one system did with one load. Milliseconds, megabytes, per cent of one core."""

    calls: int
    cpu_per_call_pct: float
    memory_per_call_mb: float
    loop_lag_p95_ms: float
    bursts: list[list[list[float | None]]]
    load_lateness_p95_ms: float
    load_cpu_pct: float
    errors: list[str] = field(default_factory=list)


async def measure(
    systems: Sequence[System], calls: Sequence[int], seconds: float, done: Callable[[str], None]
) -> dict[str, list[list[Slice]]]:
    """Return by system's name, for each number of calls, one slice a round of ``seconds / ROUNDS``.

    Raises:
        BenchFailed: a process died or did not answer.
    """
    found: dict[str, list[list[Slice]]] = {system.name: [] for system in systems}
    for number in calls:
        async with contextlib.AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(server(system)) for system in systems]
            idle_mb = {one.system.name: await _warm_up(one) for one in servers}
            slices: dict[str, list[Slice]] = {system.name: [] for system in systems}
            for turn in range(ROUNDS):
                for one in servers if turn % 2 == 0 else reversed(servers):
                    name = one.system.name
                    done(f"{name}, {number} calls")
                    slices[name].append(await hold(one, number, seconds / ROUNDS, idle_mb[name]))
            for name, some in slices.items():
                found[name].append(some)
    return found


async def hold(one: Server, calls: int, seconds: float, idle_mb: float) -> Slice:
    """Hold calls for so long; return what they cost and what was heard."""
    async with phones(one.load(calls, seconds)) as load:
        await load.read(_CONNECTS_S + calls)
        before = await one.child.ask("figures")
        await load.read(seconds + _CONNECTS_S)
        after = await one.child.ask("figures")
        over = await load.read(_CONNECTS_S + seconds + calls)
    return as_slice(before, after, over, idle_mb)


def as_slice(before: dict[str, Any], after: dict[str, Any], over: dict[str, Any], idle_mb: float) -> Slice:
    """Return the slice between two accounts of the server and the phones' own."""
    calls = len(over["calls"])
    busy = (after["cpu_s"] - before["cpu_s"]) / (after["at_s"] - before["at_s"])
    return Slice(
        calls=calls,
        cpu_per_call_pct=100 * busy / calls,
        memory_per_call_mb=(after["memory_mb"] - idle_mb) / calls,
        loop_lag_p95_ms=after["loop_lag_p95_ms"],
        bursts=[call["bursts"] for call in over["calls"]],
        load_lateness_p95_ms=over["lateness_ms"]["p95"],
        load_cpu_pct=over["cpu_pct"],
        errors=[call["error"] for call in over["calls"] if call["error"]],
    )


async def _warm_up(one: Server) -> float:
    """Hold one short call, so that what is loaded with the first is nobody's; return the idle server's memory."""
    await hold(one, 1, _WARM_UP_S, 0.0)
    return (await one.child.ask("figures", tidy=True))["memory_mb"]
