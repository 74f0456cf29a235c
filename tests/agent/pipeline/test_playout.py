"""Silence is shed when the caller would wait for it; speech never is; the line's own delay is no backlog."""

from hypothesis import given
from hypothesis import strategies as st

from agent.duplex import FRAME_MS
from agent.pipeline.playout import MOST_QUEUED_MS, Playout


class Line:
    """A carrier that plays in order and echoes marks; each way takes half of ``round_trip_ms``."""

    def __init__(self, round_trip_ms: float = 0) -> None:
        self.playout = Playout()
        self._half_ms = round_trip_ms / 2
        self._plays_until_ms = 0.0
        self._echoes: list[tuple[float, int]] = []

    def offer(self, index: int, now_ms: float, *, silent: bool) -> bool:
        """Offer a frame at ``now_ms``; return whether it was sent."""
        while self._echoes and self._echoes[0][0] <= now_ms:
            echoed_ms, played = self._echoes.pop(0)
            self.playout.played(played, echoed_ms)
        if not self.playout.admits(silent=silent, now_ms=now_ms):
            return False
        self.playout.sent(index, now_ms)
        self._plays_until_ms = max(self._plays_until_ms, now_ms + self._half_ms) + FRAME_MS
        self._echoes.append((self._plays_until_ms + self._half_ms, index))
        return True

    def queued_ms(self, now_ms: float) -> float:
        """How long the carrier would play on if nothing more came."""
        return max(0.0, self._plays_until_ms - self._half_ms - now_ms)


def test_a_steady_stream_is_sent_whole_whatever_the_round_trip() -> None:
    for round_trip_ms in (0, 60, 400, 1_500):
        line = Line(round_trip_ms)
        assert all(line.offer(index, index * FRAME_MS, silent=True) for index in range(200)), round_trip_ms


def test_a_stall_is_made_up_for_in_the_next_pause() -> None:
    line = Line(round_trip_ms=50)
    for index in range(20):
        line.offer(index, index * FRAME_MS, silent=False)
    stalled_until_ms = 20 * FRAME_MS + 400
    for index in range(20, 26):  # what piled up comes at once
        assert line.offer(index, stalled_until_ms, silent=False)
    now_ms = stalled_until_ms
    assert line.queued_ms(now_ms) > 400
    for index in range(26, 40):
        now_ms += FRAME_MS
        line.offer(index, now_ms, silent=True)
    assert line.queued_ms(now_ms) <= MOST_QUEUED_MS
    assert line.playout.shed_frames > 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=80), st.integers(0, 500))
def test_speech_is_always_sent_and_silence_never_piles_up(frames: list[tuple[bool, int]], round_trip_ms: int) -> None:
    line, now_ms, speech_waits = Line(round_trip_ms), 0.0, False
    for index, (silent, gap_ms) in enumerate(frames):
        now_ms += gap_ms
        sent = line.offer(index, now_ms, silent=silent)
        if not silent:
            assert sent
            speech_waits = line.queued_ms(now_ms) > MOST_QUEUED_MS
        elif sent and not speech_waits:
            assert line.playout.backlog_ms(now_ms) <= MOST_QUEUED_MS


def test_marks_of_another_world_change_nothing() -> None:
    playout = Playout()
    playout.sent(5, 0)
    playout.played(3, 10)
    playout.played(5, 100)
    playout.played(5, 200)
    assert playout.backlog_ms(200) == 0
