"""A call's figures say what was heard of it, and raise an alarm where it was bad."""

import pytest

from agent.duplex import FRAME_MS
from agent.pipeline.attendant import Loudness
from agent.pipeline.figures import alarms, measured
from agent.pipeline.playout import Playout
from telephony.audio.framing import LineCounters


def played(*gaps_ms: int, silent: bool = False) -> Playout:
    playout, now_ms = Playout(), 1_000.0
    for index, gap_ms in enumerate(gaps_ms):
        now_ms += gap_ms
        playout.sent(index, now_ms, silent=silent)
    return playout


def test_a_good_call_has_no_alarm() -> None:
    loudness = Loudness()
    loudness.add(3_277)
    figures = measured(LineCounters(), played(*[FRAME_MS] * 50), loudness)
    assert figures == {"agent_level_dbfs": pytest.approx(-20, abs=0.1)}
    assert alarms(figures, 4_000) == []


def test_holes_in_speech_are_counted_and_pauses_are_not() -> None:
    assert played(FRAME_MS, FRAME_MS + 15, FRAME_MS).underruns == 0
    holed = played(FRAME_MS, FRAME_MS + 300, FRAME_MS, FRAME_MS + 400)
    assert (holed.underruns, holed.underrun_ms) == (2, 700)
    assert played(FRAME_MS, FRAME_MS + 300, silent=True).underruns == 0
    (kind, sentence) = alarms(measured(LineCounters(), holed, Loudness()), 60_000)[0]
    assert kind == "agent_choppy"
    assert "2 holes" in sentence


def test_the_backlog_is_that_of_nearly_all_frames() -> None:
    assert played(0, *[FRAME_MS] * 10).backlog_p95_ms() == 0
    assert played(*[0] * 10).backlog_p95_ms() == 9 * FRAME_MS
    assert Playout().backlog_p95_ms() == 0
    late = measured(LineCounters(), played(*[0] * 20), Loudness())
    assert [kind for kind, _ in alarms(late, 60_000)] == ["playout_late"]


def test_a_lossy_line_and_a_faint_agent() -> None:
    loudness = Loudness()
    loudness.add(100)
    figures = measured(LineCounters(gaps=3, filled_ms=300), Playout(), loudness)
    assert figures["line_gaps"] == 3
    assert [kind for kind, _ in alarms(figures, 10_000)] == ["line_lossy", "agent_faint"]
    assert [kind for kind, _ in alarms(figures, 60_000)] == ["agent_faint"]
