"""Silence on either side is noticed in time; talk, noise and our own stalls are not taken for it."""

from agent.duplex import FRAME_MS
from agent.pipeline.watch import NO_AUDIO_MS, Patience, Trouble, Watch

QUIET, SPEECH = 15, 1_500


def frames(seconds: float) -> int:
    return round(seconds * 1000 / FRAME_MS)


def listen(watch: Watch, rms: int, seconds: float) -> list[Trouble]:
    return [trouble for _ in range(frames(seconds)) if (trouble := watch.heard(rms))]


def test_both_silent_is_noticed_again_and_again() -> None:
    watch = Watch(Patience(caller_silence_s=4))
    assert listen(watch, QUIET, 3.9) == []
    assert listen(watch, QUIET, 4.2) == [Trouble.CALLER_SILENT] * 2


def test_the_agent_speaking_is_no_silence() -> None:
    watch = Watch(Patience(caller_silence_s=4))
    for _ in range(frames(20)):
        watch.said()
        assert watch.heard(QUIET) is None


def test_a_caller_who_spoke_waits_for_an_agent_who_says_nothing() -> None:
    watch = Watch(Patience(caller_silence_s=15, agent_mute_s=5))
    listen(watch, QUIET, 1)
    assert listen(watch, SPEECH, 1.5) == []
    assert listen(watch, QUIET, 4.8) == []
    assert listen(watch, SPEECH, 0.4) == []  # "hello?" is no new question
    assert listen(watch, QUIET, 0.5) == [Trouble.AGENT_MUTE]


def test_who_asks_twice_waits_half_as_long() -> None:
    watch = Watch(Patience(agent_mute_s=10))
    assert listen(watch, SPEECH, 2) + listen(watch, QUIET, 3) == []
    assert listen(watch, SPEECH, 0.5) + listen(watch, QUIET, 2.4) == []
    assert listen(watch, QUIET, 0.2) == [Trouble.AGENT_MUTE]


def test_who_thinks_aloud_does_not_ask_twice() -> None:
    for pause_s, again_s in ((2.2, 0.5), (3, 0.3), (3, 2)):  # no pause, no word, more than "hello?"
        watch = Watch(Patience(agent_mute_s=10))
        assert listen(watch, SPEECH, 2) + listen(watch, QUIET, pause_s) == []
        assert listen(watch, SPEECH, again_s) + listen(watch, QUIET, 5) == []
    watch = Watch(Patience(agent_mute_s=10))
    assert listen(watch, SPEECH, 2) + listen(watch, QUIET, 3) + listen(watch, SPEECH, 0.5) == []
    watch.said()
    assert listen(watch, QUIET, 9) == []


def test_who_is_answered_does_not_wait() -> None:
    watch = Watch(Patience(agent_mute_s=5))
    listen(watch, SPEECH, 2)
    listen(watch, QUIET, 4.5)
    watch.said()
    assert listen(watch, QUIET, 6) == []


def test_a_caller_who_tells_a_long_story_does_not_wait() -> None:
    watch = Watch(Patience(agent_mute_s=5))
    for _ in range(30):
        assert listen(watch, SPEECH, 2.4) + listen(watch, QUIET, 0.8) == []


def test_a_cough_wants_no_answer() -> None:
    watch = Watch(Patience(caller_silence_s=60, agent_mute_s=5))
    assert listen(watch, SPEECH, 0.3) + listen(watch, QUIET, 20) == []


def test_a_door_is_no_word() -> None:
    watch = Watch(Patience())
    watch.heard(SPEECH)
    watch.heard(SPEECH)
    assert not watch.caller_speaks
    watch.heard(SPEECH)
    assert watch.caller_speaks
    watch.heard(QUIET)
    assert not watch.caller_speaks


def test_nought_is_for_ever() -> None:
    watch = Watch(Patience(caller_silence_s=0, agent_mute_s=0))
    assert listen(watch, SPEECH, 2) + listen(watch, QUIET, 600) == []


def test_a_line_without_any_sound_is_noticed_once() -> None:
    watch = Watch(Patience(caller_silence_s=0))
    assert listen(watch, 0, 2 * NO_AUDIO_MS / 1000) == [Trouble.NO_CALLER_AUDIO]
    watch = Watch(Patience(caller_silence_s=0))
    assert watch.heard(QUIET) is None
    assert listen(watch, 0, 2 * NO_AUDIO_MS / 1000) == []
