"""Where the agent's audio lands, against a simulated carrier that plays in order, with a network before it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.playout import Playout

LOUD = np.full(640, 1_000, np.int16)
QUIET = np.zeros(640, np.int16)


def carry(sent: list[tuple[int, bool]], network: list[int], echo: list[int], *, mark_every: int = 1):
    """Simulate: frame i arrives network[i] ms after it was sent, is played in order, its echo comes echo[i] ms late.

    Returns the places found and the true ones, for frames with sound.
    """
    playout, truth, found = Playout(), {}, []
    end = 0
    echoes: list[tuple[int, int]] = []
    for index, (at_ms, _) in enumerate(sent):
        start = max(end, at_ms + network[index])
        end = start + 80
        truth[at_ms] = start
        if index % mark_every == 0:
            echoes.append((end + echo[index], index))
    echoes.sort()
    for index, (at_ms, is_loud) in enumerate(sent):
        while echoes and echoes[0][0] <= at_ms:
            when, which = echoes.pop(0)
            playout.played(which, when)
        playout.sent(index, at_ms, LOUD if is_loud else QUIET)
        if index % 12 == 0:
            found += playout.settle(at_ms)
    for when, which in echoes:
        playout.played(which, when)
    found += playout.settle(10**9)
    assert len(found) == len(sent)
    return [(place.at_ms, truth[place.sent_ms]) for place in found if place.pcm.any()]


def steady(frames: int, loud: set[int] | None = None) -> list[tuple[int, bool]]:
    return [(80 * index, loud is None or index in loud) for index in range(frames)]


def test_echoes_tell_the_networks_delay():
    places = carry(steady(60), [150] * 60, [0] * 60)
    assert all(abs(found - true) <= 1 for found, true in places)


def test_jitter_does_not_cut_speech_to_pieces():
    random = np.random.default_rng(1)
    echo = random.integers(0, 40, 100).tolist()
    places = carry(steady(100), [120] * 100, echo)
    assert all(abs(found - true) <= 40 for found, true in places)
    gaps = [after[0] - before[0] for before, after in pairwise(places)]
    assert gaps.count(80) >= 96


def test_a_buffer_that_ran_empty_moves_what_follows():
    network = [100] * 30 + [500] + [100] * 60
    places = carry(steady(91), network, [5] * 91)
    late = [abs(found - true) for found, true in places]
    assert max(late[:26]) <= 40
    assert max(late[36:]) <= 40


def test_silence_lets_the_place_of_speech_move_back():
    loud = set(range(10, 20)) | set(range(60, 80))
    network = [400] * 20 + [60] * 100
    sent = [(at_ms, is_loud) for at_ms, is_loud in steady(120, loud) if is_loud or at_ms < 1_600]
    places = carry(sent, network, [0] * 120)
    assert all(abs(found - true) <= 40 for found, true in places)


def test_few_marks_are_enough():
    places = carry(steady(80), [90] * 80, [10] * 80, mark_every=5)
    assert all(abs(found - true) <= 40 for found, true in places)


def test_without_echoes_frames_follow_each_other_where_they_were_sent():
    playout = Playout()
    playout.sent(0, 1_000, LOUD)
    playout.sent(1, 1_010, LOUD)
    playout.sent(2, 3_000, LOUD)
    assert playout.settle(1_000) == []
    assert [place.at_ms for place in playout.settle(10_000)] == [1_000, 1_080, 3_000]


def test_what_was_cleared_was_not_heard():
    playout = Playout()
    for index in range(10):
        playout.sent(index, 0, LOUD)
    playout.played(0, 180)
    placed = playout.cleared(300)
    # The first frame was heard at 100-180 ms, so 1.5 more were by 300 ms.
    assert [len(place.pcm) for place in placed] == [640, 640, 320, 0, 0, 0, 0, 0, 0, 0]
    playout.played(9, 310)
    playout.sent(10, 400, LOUD)
    assert playout.settle(10_000)[0].at_ms == pytest.approx(500, abs=1)


@given(
    st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.integers(0, 300)), min_size=1, max_size=60),
    st.data(),
)
def test_speech_is_placed_in_order_and_once(frames: list[tuple[int, bool, int]], data: st.DataObject):
    playout, found, now = Playout(), [], 0
    for index, (pause, is_loud, delay) in enumerate(frames):
        now += pause
        playout.sent(index, now, LOUD if is_loud else QUIET)
        if data.draw(st.booleans()):
            playout.played(data.draw(st.integers(0, index + 2)), now + delay)
        found += playout.settle(now)
    found += playout.settle(now, last=True)
    assert len(found) == len(frames)
    assert [place.sent_ms for place in found] == sorted(place.sent_ms for place in found)
    heard = [place.at_ms for place in found if place.pcm.any()]
    assert all(after - before >= 80 - 1e-6 for before, after in pairwise(heard))
    assert all(place.at_ms >= 0 for place in found)
