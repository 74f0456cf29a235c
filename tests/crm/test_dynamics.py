"""Conversation dynamics: examples worked out by hand, and what must hold for every call."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.activity import runs_ms
from crm.call import Transfer
from crm.dynamics import BargeIn, dynamics, dynamics_of, onset, turn_boundaries
from crm.floor import Ipu, floor_turns
from crm.reference import binned, human_share_under, human_shares, jsd_bits, jsd_to_humans


def side(name: str, *runs: tuple[int, int], words: int | None = None) -> list[Ipu]:
    return [Ipu(name, start, end, words) for start, end in runs]  # pyright: ignore[reportArgumentType]


def measure(caller: list[tuple[int, int]], agent: list[tuple[int, int]], duration_ms: int):
    return dynamics_of(side("caller", *caller), side("agent", *agent), duration_ms)


def test_a_polite_call():
    """Agent 0-1 s; caller 1.5-3, 3.4-5 s (a pause of 0.4 s); agent 5.3-7 s; caller 9.5-10 s; agent 9.9-12 s."""
    found = measure(
        [(1_500, 3_000), (3_400, 5_000), (9_500, 10_000)], [(0, 1_000), (5_300, 7_000), (9_900, 12_000)], 13_000
    )
    assert found.transfers == (Transfer(5_300, 300), Transfer(9_900, -100))
    assert (found.takeovers.in_speech, found.takeovers.in_pause) == (1, 0)  # 9.9 s is inside the caller's last IPU
    assert (found.takeovers.pauses, found.takeovers.long_ipus) == (1, 2)
    assert found.takeovers.rate == pytest.approx(1 / 3)
    assert found.overlap.ms == 100
    assert found.overlap.by_agent_ms == 100
    assert found.overlap.speech_ms == 1_500 + 1_600 + 500 + 1_000 + 1_700 + 2_100 - 100
    assert (found.dead_air_count, found.dead_air_ms) == (1, 2_500)
    assert found.barge_ins == ()
    assert found.agent_answered


def test_a_takeover_in_a_pause():
    """The caller pauses at 2.0-2.6 s, in which the agent begins, at 2.3 s: the caller speaks again 0.3 s later."""
    found = measure([(0, 2_000), (2_600, 5_000)], [(2_300, 4_000)], 6_000)
    assert (found.takeovers.in_speech, found.takeovers.in_pause) == (0, 1)
    assert found.takeovers.rate == pytest.approx(1 / 3)  # one pause of 0.6 s, two IPUs over 1 s


def test_a_backchannel_takes_no_floor():
    """Agent says "mm-hmm" at 1.0-1.3 s into the caller's 0-4 s, then answers 0.5 s after."""
    found = measure([(0, 4_000)], [(1_000, 1_300), (4_500, 6_000)], 6_000)
    assert found.transfers == (Transfer(4_500, 500),)
    assert (found.takeovers.in_speech, found.takeovers.in_pause) == (0, 0)
    assert found.backchannels.count == 1
    assert found.backchannels.per_minute == 15.0
    assert found.backchannels.positions == (0.25,)
    assert found.backchannels.lags_ms == (0,)
    assert (found.overlap.by_backchannel_ms, found.overlap.by_agent_ms) == (300, 0)


def test_three_words_are_no_backchannel():
    caller, agent = side("caller", (0, 4_000)), side("agent", (1_000, 1_300), words=3)
    assert not any(turn.backchannel for turn in floor_turns(caller, agent))
    assert any(turn.backchannel for turn in floor_turns(caller, side("agent", (1_000, 1_300), words=2)))


def test_a_barge_in_that_stops_the_agent():
    """The caller begins at 2.0 s; the agent ends at 2.25 s, though a scrap of 0.1 s follows 0.3 s later."""
    found = measure([(2_000, 4_000)], [(0, 2_250), (2_550, 2_650), (5_000, 6_000)], 6_000)
    assert found.barge_ins == (BargeIn(2_000, 650),)
    assert found.barge_ins[0].yielded


def test_a_barge_in_that_does_not():
    found = measure([(2_000, 3_500)], [(0, 4_500)], 5_000)
    assert found.barge_ins == (BargeIn(2_000, 2_500),)
    assert not found.barge_ins[0].yielded


def test_a_callers_backchannel_that_the_agent_talks_through():
    found = measure([(2_000, 2_300)], [(0, 4_500)], 5_000)
    assert (found.barge_ins, found.caller_backchannels, found.kept) == ((), 1, 1)


def test_a_short_answer_that_the_agent_overlaps_is_a_turn():
    """Agent asks until 1.0 s; caller says "Sofa" at 1.3-1.8 s; the agent begins at 1.7 s."""
    found = measure([(1_300, 1_800)], [(0, 1_000), (1_700, 3_000)], 3_000)
    assert found.transfers == (Transfer(1_700, -100),)
    goes_on = measure([(1_300, 1_800)], [(0, 1_000), (1_400, 3_000)], 3_000)
    assert (goes_on.transfers, goes_on.caller_backchannels) == ((), 1)


def test_an_agent_that_never_answers():
    found = measure([(1_000, 2_000)], [(0, 900)], 6_000)
    assert not found.agent_answered
    assert (found.dead_air_count, found.dead_air_ms) == (1, 4_000)
    assert found.summary()["onset"] is None


def test_onset_by_hand():
    found = onset([-100, 0, 100, 300, 800, 2_500])
    assert found is not None
    assert (found.n, found.mean_ms, found.p50_ms, found.p10_ms, found.p90_ms) == (6, 600.0, 200.0, -50.0, 1_650.0)
    assert found.share_negative == pytest.approx(1 / 6)
    assert found.share_under_200_ms == pytest.approx(3 / 6)
    assert found.share_over_700_ms == pytest.approx(2 / 6)
    assert found.share_over_2_s == pytest.approx(1 / 6)


def test_turn_boundaries_by_hand():
    """Yields at 1 and 5 s; onsets at 0.9 (early, counts), 3 (nobody yielded), 5.6 s (late for 0.5 s, not for 1 s)."""
    half = turn_boundaries([1_000, 5_000], [900, 3_000, 5_600], 500)
    assert (half.precision, half.recall, half.f1) == (pytest.approx(1 / 3), 0.5, pytest.approx(2 / 5))
    one = turn_boundaries([1_000, 5_000], [900, 3_000, 5_600], 1_000)
    assert (one.precision, one.recall, one.f1) == (pytest.approx(2 / 3), 1.0, pytest.approx(4 / 5))
    assert turn_boundaries([], [], 500).f1 is None


def test_divergence_by_hand():
    assert jsd_bits([1, 0], [0, 1]) == 1.0
    assert jsd_bits([1, 1], [2, 2]) == 0.0
    # p = (1, 0), q = (1/2, 1/2), m = (3/4, 1/4): (log2 4/3 + (log2 2/3 + log2 2) / 2) / 2
    assert jsd_bits([1, 0], [1, 1]) == pytest.approx(0.311278, abs=1e-6)
    with pytest.raises(ValueError, match="neither empty"):
        jsd_bits([0, 0], [1, 1])


def test_the_human_reference_has_what_was_published():
    assert human_shares().sum() == pytest.approx(1)
    assert len(human_shares()) == 17
    offsets = np.linspace(-8_000, 10_000, 1_800_001)
    under = np.array([human_share_under(offset) for offset in offsets[::100]])
    density, middle = np.diff(under), (offsets[::100][1:] + offsets[::100][:-1]) / 2
    mean = (density * middle).sum()
    assert mean == pytest.approx(187, abs=2)
    assert np.sqrt((density * (middle - mean) ** 2).sum()) == pytest.approx(448, abs=2)
    assert human_share_under(168) == pytest.approx(0.5, abs=0.005)
    assert human_share_under(0) == pytest.approx(0.301, abs=0.02)
    assert 0.51 <= human_share_under(200) <= 0.55


@pytest.mark.parametrize(("n", "null"), [(30, 0.097), (100, 0.034), (300, 0.012)])
def test_the_null_shrinks_with_n(n: int, null: float):
    found = jsd_to_humans(binned([168] * n))
    assert found is not None
    assert found.null_bits == pytest.approx(null, abs=0.006)
    assert found.null_bits < found.null_p95_bits < found.jsd_bits


def test_bins_have_their_edges():
    assert binned([-1_001])[0] == 1
    assert binned([-1_000, -801])[1] == 2
    assert binned([2_000])[16] == 1
    assert binned([1_999])[15] == 1


grids = st.lists(st.booleans(), max_size=400).map(lambda bits: np.array(bits, bool))


@given(grids, grids)
def test_what_holds_for_every_call(caller: np.ndarray, agent: np.ndarray):
    found = dynamics(caller, agent)
    both = int(np.sum(caller[: len(agent)] & agent[: len(caller)])) * 10
    assert found.overlap.ms == both
    assert found.overlap.by_caller_ms + found.overlap.by_agent_ms + found.overlap.by_backchannel_ms == both
    assert found.overlap.speech_ms == (int(caller.sum()) + int(agent.sum())) * 10 - both
    assert all(barge_in.stop_ms > 0 for barge_in in found.barge_ins)
    assert found.kept <= found.caller_backchannels
    turns = floor_turns(side("caller", *runs_ms(caller)), side("agent", *runs_ms(agent)))
    held = [turn for turn in turns if not turn.backchannel]
    assert all(one.side != other.side for one, other in pairwise(held))
    assert sum(len(turn.ipus) for turn in turns) == len(runs_ms(caller)) + len(runs_ms(agent))
    swapped = dynamics(agent, caller)
    assert (swapped.overlap.ms, swapped.dead_air_ms) == (found.overlap.ms, found.dead_air_ms)


shares = st.lists(st.integers(0, 100), min_size=5, max_size=5).filter(any)


@given(shares, shares)
def test_divergence_is_symmetric_and_bounded(p: list[int], q: list[int]):
    assert 0 <= jsd_bits(p, q) <= 1
    assert jsd_bits(p, q) == pytest.approx(jsd_bits(q, p))
    assert jsd_bits(p, p) == pytest.approx(0, abs=1e-12)
