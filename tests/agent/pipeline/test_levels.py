"""A model's idle noise becomes silence, its quietest speech does not; noise on a line is not taken for a caller."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.pipeline.levels import NoiseFloor, SilenceGate, rms_of


def noise(rms: float, seed: int = 0) -> NDArray[np.int16]:
    return (np.random.default_rng(seed).standard_normal(640) * rms).astype(np.int16)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=200))
def test_idle_noise_without_text_is_shut_out(levels: list[int]) -> None:
    gate = SilenceGate()
    assert not any(
        gate.is_open(min(rms_of(noise(rms, rms)), SilenceGate.IDLE_RMS - 1), has_text=False) for rms in levels
    )


@given(st.lists(st.tuples(st.integers(0, 32_767), st.booleans()), max_size=200))
def test_speech_is_never_shut_out_whatever_came_before(frames: list[tuple[int, bool]]) -> None:
    gate = SilenceGate()
    for rms, has_text in frames:
        is_open = gate.is_open(rms, has_text=has_text)
        assert is_open or rms < SilenceGate.SURE_RMS
        assert is_open or not (has_text and rms >= SilenceGate.FAINT_RMS)
        assert not (is_open and rms == 0)


def test_noise_of_rms_30_is_gated_and_quiet_speech_above_it_is_not() -> None:
    gate = SilenceGate()
    idle = noise(30)
    assert not any(gate.is_open(rms_of(idle), has_text=False) for _ in range(100))
    quiet_speech = [140, 90, 60, 25, 130, 80, 40, 30]  # of one word, whose text came with its beginning
    assert all(gate.is_open(rms, has_text=frame == 0) for frame, rms in enumerate(quiet_speech))
    after = [gate.is_open(rms_of(idle), has_text=False) for _ in range(30)]
    assert not any(after[15:])


def test_the_end_of_a_word_is_not_cut_where_no_text_tells() -> None:
    gate = SilenceGate()
    assert [gate.is_open(rms, has_text=False) for rms in (500, 50, 40, 30, 30, 30)] == [True] * 4 + [False] * 2


def test_a_louder_line_raises_the_floor_and_speech_stands_out_all_the_same() -> None:
    floor = NoiseFloor(100, 2_000)
    first = [floor.is_loud(300) for _ in range(150)]
    assert first[0]
    assert not any(first[60:])
    assert floor.is_loud(1_500)
    speech = [1_500, 1_800, 1_200, 1_600, 320] * 12
    assert [floor.is_loud(rms) for rms in speech] == [rms > 320 for rms in speech]
    assert not any([floor.is_loud(300) for _ in range(60)][5:])
