"""Media time follows the caller's clock, not the network's moods."""

import pytest

from agent.pipeline import clock
from agent.pipeline.clock import MediaClock


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch):
    """``at(ms)`` sets our own clock."""
    now_ms = [0.0]
    monkeypatch.setattr(clock, "_monotonic_ms", lambda: now_ms[0])

    def set_to(ms: float) -> None:
        now_ms[0] = ms

    return set_to


def test_it_stands_at_zero_before_the_first_frame(at) -> None:
    at(5_000)
    assert MediaClock().now_ms() == 0


def test_it_runs_between_frames_and_ignores_late_ones(at) -> None:
    media = MediaClock()
    at(1_000)
    media.heard(80)
    at(1_050)
    assert media.now_ms() == 130
    at(1_380)  # 300 ms late
    media.heard(160)
    assert media.now_ms() == pytest.approx(460, abs=1)


def test_it_follows_a_carrier_whose_clock_is_slower(at) -> None:
    media = MediaClock()
    for frame in range(45_000):  # an hour, 100 ppm slow
        at(1_000 + frame * 80 * 1.0001)
        media.heard(frame * 80 + 80)
    assert media.now_ms() == pytest.approx(45_000 * 80, abs=5)
