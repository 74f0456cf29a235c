"""The gateway's bench measures what it says: latencies it can't know, drifts, losses, its own weakness."""

import json

import numpy as np
import pytest

from agent.bench.gateway import marker
from agent.bench.gateway.figures import complaints, real_time_ratio, row
from agent.bench.gateway.processes import PARLEY, server
from agent.bench.gateway.run import Slice, hold
from agent.bench.gateway.soak import Sample, Soaked
from agent.bench.gateway.stall import judge
from telephony.audio import g711


def delayed(said: np.ndarray, delay_ms: float) -> np.ndarray:
    return np.concatenate((np.zeros(round(delay_ms * 8), np.int16), said))


@pytest.mark.parametrize("delay_ms", [0, 84.125, 3_999])
def test_a_burst_is_found_to_the_sample(delay_ms: float) -> None:
    said = marker.track(1)
    heard = delayed(g711.decode(g711.encode(said[: 8 * 3_000])) // 2, delay_ms)
    found = marker.find_bursts(said, heard, said_packets=150)
    assert [burst.said_ms for burst in found] == [200, 1_200, 2_200]
    assert [burst.latency_ms for burst in found] == [pytest.approx(delay_ms, abs=0.13)] * 3


def test_another_phones_bursts_are_not_ours() -> None:
    assert all(burst.latency_ms is None for burst in marker.find_bursts(marker.track(1), marker.track(2)[:40_000], 200))


def test_a_track_repeats_without_a_seam() -> None:
    said = marker.track(3)
    twice = np.concatenate((said, said[: 8 * 2_000]))
    found = marker.find_bursts(said, delayed(twice, 100), said_packets=3_100)
    assert len(found) == 62
    assert {burst.latency_ms for burst in found} == {100.0}


def calls(latencies: list[float | None]) -> list[list[float | None]]:
    return [[1_000.0 * n, latency] for n, latency in enumerate(latencies)]


def test_the_ratio_tells_drift_and_loss() -> None:
    assert real_time_ratio(calls([90.0] * 20)) == 1
    assert real_time_ratio(calls([90.0 + 100 * n for n in range(20)])) == pytest.approx(0.91, abs=0.01)
    assert real_time_ratio(calls([90.0, 90.0, None, *[90.0] * 17])) == pytest.approx(0.95)
    assert real_time_ratio(calls([90.0] * 10 + [None])) == 1  # said too late to be heard
    assert real_time_ratio(calls([None] * 5)) == 0


def slice_of(**changes: object) -> Slice:
    fields = dict(
        calls=2,
        cpu_per_call_pct=1.0,
        memory_per_call_mb=0.5,
        loop_lag_p95_ms=2.0,
        bursts=[calls([110.0, *[80.0] * 9]), calls([None, *[100.0] * 9])],
        load_lateness_p95_ms=1.0,
        load_cpu_pct=10.0,
    )
    return Slice(**(fields | changes))  # pyright: ignore[reportArgumentType]


def test_a_row_has_the_promised_keys() -> None:
    assert row([slice_of(), slice_of(cpu_per_call_pct=3.0, loop_lag_p95_ms=4.0)]) == {
        "calls": 2,
        "cpu_per_call_pct": 2.0,
        "memory_per_call_mb": 0.5,
        "latency_ms": {"p50": 100.0, "p95": 101.5, "p99": 110.0},
        "first_burst_ms": {"p50": 110.0, "p95": 110.0, "max": 110.0},  # the one that was heard
        "real_time_ratio": 1.0,
        "loop_lag_ms": {"p95": 4.0},
    }


def test_a_load_that_was_the_bottleneck_says_so() -> None:
    assert complaints({"parley": [[slice_of()]]}) == []
    assert "bottleneck" in complaints({"parley": [[slice_of(load_lateness_p95_ms=9.0)]]})[0]
    assert "closed" in complaints({"parley": [[slice_of(errors=["the server closed the media socket"])]]})[0]


def test_a_stall_is_over_when_bursts_are_as_quick_as_before() -> None:
    quick = [84.0] * 4
    healed = judge([calls([*quick, 380.0, 250.0, 90.0, 85.0, 85.0])], first_ms=4_000, last_ms=5_300)
    assert (healed.worst_ms, healed.lost_bursts) == (380, 0)
    assert healed.recovered_s == pytest.approx(0.1)
    ratchet = judge([calls([*quick, 380.0, 380.0, 380.0])], first_ms=4_000, last_ms=5_300)
    assert ratchet.recovered_s is None


def soaked(memory_mb: list[float], *, tasks: int = 10) -> Soaked:
    samples = [Sample(60.0 * n, mb, 100, 20, 9, 30) for n, mb in enumerate(memory_mb)]
    idle, after = Sample(0, 100, 10, 2, 9, 30), Sample(9, 101, tasks, 2, 9, 30)
    return Soaked(20, len(samples), idle, after, samples)


def test_a_soak_that_grows_or_leaves_something_is_not_flat() -> None:
    assert soaked([100, 110, 115, 116, 116, 116, 116, 116]).is_flat
    assert not soaked([100 + 5 * n for n in range(8)]).is_flat
    assert not soaked([100.0] * 8, tasks=11).is_flat


async def test_calls_are_held_and_measured_between_three_processes() -> None:
    async with server(PARLEY) as one:
        found = await hold(one, 2, 3.0, idle_mb=0.0)
        figures = await one.child.ask("figures")
    assert found.errors == []
    assert found.cpu_per_call_pct > 0
    measured = row([found])
    assert measured["calls"] == 2
    assert 50 <= measured["latency_ms"]["p50"] < 1_500  # a phone that began late hears itself earlier
    assert json.dumps(measured)
    assert figures["sockets"] < 20
