"""The simulated phone's parts, in virtual time: playout, hearing, scripts, recordings, TwiML."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from telephony.audio import g711
from telephony.simulator import (
    BadScript,
    CallFailed,
    HangUp,
    Pause,
    Press,
    Say,
    ScriptedCaller,
    Spurt,
    Wait,
    background_under,
    load_recording,
    parse_script,
    perform,
)
from telephony.simulator.hearing import AgentEar
from telephony.simulator.playout import Playout
from telephony.simulator.twiml import parse
from tests.telephony.line import tone

SHARED = Path(__file__).resolve().parents[3] / "shared" / "audio"


@given(st.lists(st.integers(1, 1_000), max_size=20))
def test_playout_plays_everything_in_order_and_marks_come_when_reached(lengths):
    playout, sent, reached_after = Playout(), b"", {}
    for index, length in enumerate(lengths):
        sent += bytes([index]) * length
        playout.add(bytes([index]) * length)
        playout.mark(str(index))
        reached_after[str(index)] = len(sent)
    played, ticks = b"", 0
    while playout.queued_ms or (playout.reached() == [] and played[: len(sent)] != sent):
        played += playout.tick()
        ticks += 1
        for name in playout.reached():
            assert reached_after.pop(name) <= len(played)
    assert played[: len(sent)] == sent
    assert set(played[len(sent) :]) <= {0xFF}
    assert reached_after == {}


def test_clear_drops_audio_and_returns_marks():
    playout = Playout()
    playout.add(b"\x00" * 320)
    playout.mark("a")
    playout.mark("b")
    assert playout.clear() == ["a", "b"]
    assert (playout.queued_ms, playout.tick()) == (0, g711.SILENCE * 160)


def test_ten_minutes_are_the_most_that_waits():
    playout = Playout()
    assert playout.add(b"\x00" * 8 * 600_000)
    assert not playout.add(b"\x00" * 160)


def listen(pcm: np.ndarray) -> AgentEar:
    ear = AgentEar()
    for index in range(pcm.size // 160):
        ear.hear(20 * index, pcm[160 * index : 160 * index + 160])
    return ear


def test_spurts_bridge_pauses_between_words_and_ignore_clicks():
    silence = np.zeros(8 * 600, np.int16)
    click = tone(20)
    heard = np.concatenate([silence, tone(200), silence[: 8 * 200], tone(200), silence, click, silence, tone(100)])
    ear = listen(heard)
    assert ear.spurts() == (Spurt(600, 1_200), Spurt(2_420, 2_520))
    assert ear.speaking


def live(caller: ScriptedCaller, agent: np.ndarray, limit_ms: int = 30_000):
    """Run a caller against a fixed agent; return what was said, the digits, and when it hung up."""
    ear, said, digits = AgentEar(), [], {}
    for at_ms in range(0, limit_ms, 20):
        act = caller.tick(at_ms, ear)
        if act.hang_up:
            return np.concatenate([np.zeros(0, np.int16), *said]), digits, at_ms
        said.append(act.pcm)
        if act.digit:
            digits[at_ms] = act.digit
        part = agent[at_ms * 8 : at_ms * 8 + 160]
        ear.hear(at_ms, np.pad(part, (0, 160 - part.size)))
    raise AssertionError("the caller never hung up")


def test_a_caller_lets_the_agent_finish_and_loses_patience():
    agent = np.concatenate([np.zeros(8 * 500, np.int16), tone(1_000)])
    caller = ScriptedCaller([Say("a", tone(200)), Say("b", tone(200)), HangUp()], patience_ms=2_000, settle_ms=300)
    live(caller, agent)
    first, second = caller.lines()
    assert (first.start_ms, first.end_ms) == (1_800, 2_000)
    assert second.start_ms == pytest.approx(1_800 + 2_000, abs=220)


def test_keys_pauses_and_fixed_times():
    caller = ScriptedCaller([Press("1#"), Pause(100), Say("a", tone(50), at_ms=1_000), Wait(0), HangUp()])
    said, digits, over_ms = live(caller, np.zeros(0, np.int16))
    assert digits == {0: "1", 220: "#"}
    assert (np.flatnonzero(said)[0] // 160 * 20, over_ms) == (1_000, 1_060)


def test_a_caller_does_not_listen_for_ever():
    _, _, over_ms = live(ScriptedCaller([Wait(), HangUp()]), tone(100_000), limit_ms=100_000)
    assert over_ms == pytest.approx(60_000, abs=500)


def test_noise_lies_under_the_speech_by_the_ratio_asked_for():
    speech, noise = tone(1_000), np.random.default_rng(0).normal(0, 3_000, 8_000).astype(np.int16)
    under = background_under([np.concatenate([speech, np.zeros(80_000, np.int16)])], noise, 20)
    rms = [np.sqrt(np.mean(x.astype(float) ** 2)) for x in (speech, under)]
    assert 20 * np.log10(rms[0] / rms[1]) == pytest.approx(20, abs=0.3)
    said, _, _ = live(ScriptedCaller([Pause(2_000), HangUp()], background=under), np.zeros(0, np.int16))
    assert np.array_equal(said, np.tile(under, 2))


def test_recordings_of_all_kinds_become_phone_audio(tmp_path):
    for hz, channels, name in ((8_000, 1, "a.wav"), (24_000, 2, "b.wav"), (44_100, 1, "c.flac"), (16_000, 1, "d.mp3")):
        sound = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(hz) / hz)
        soundfile.write(tmp_path / name, np.stack([sound] * channels, axis=1), hz)
        pcm = load_recording(tmp_path / name)
        middle = pcm[2_000:6_000]
        assert pcm.size == pytest.approx(8_000, abs=600)
        assert np.argmax(np.abs(np.fft.rfft(middle))) == 500
        assert np.abs(middle).max() == pytest.approx(16_384, rel=0.05)
    (tmp_path / "e.ulaw").write_bytes(b"\x10" * 320)
    assert load_recording(tmp_path / "e.ulaw").tolist() == g711.decode(b"\x10" * 320).tolist()


@pytest.mark.parametrize(("name", "content", "why"), [("a.wav", None, "no such file"), ("a.wav", b"", "can't")])
def test_recordings_that_are_none_are_named(tmp_path, name, content, why):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadScript, match=rf"{name}: .*{why}"):
        load_recording(tmp_path / name)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings of ../shared/audio are not here")
def test_the_same_utterance_raw_and_wav_is_the_same_audio():
    raw, wav = load_recording(SHARED / "tau2_hello.ulaw"), load_recording(SHARED / "tau2_hello.wav")
    size = min(raw.size, wav.size)
    assert np.corrcoef(raw[:size], wav[:size])[0, 1] > 0.95


def test_a_script_becomes_steps():
    script = parse_script(
        """
        patience_ms: 3000
        steps:
          - say: Hello
          - say: Wait
            interrupt_after_ms: 900
          - backchannel: mm-hmm
          - wait: true
          - wait: 500
          - pause_ms: 100
          - press: "0"
          - hang_up: true
        """
    )
    assert script.texts() == ("Hello", "Wait", "mm-hmm")
    steps = perform(script, lambda text: np.full(len(text), 7, np.int16))
    assert [type(step) for step in steps] == [Say, Say, Say, Wait, Wait, Pause, Press, HangUp]
    assert (steps[0].kind, steps[0].after_agent_ms, steps[0].pcm.size) == ("say", None, 5)
    assert (steps[1].kind, steps[1].after_agent_ms) == ("interrupt", 900)
    assert (steps[2].kind, steps[2].after_agent_ms) == ("backchannel", 800)
    assert (steps[3], steps[4]) == (Wait(None), Wait(500))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("steps: [", "not YAML"),
        ("steps: []", "steps"),
        ("[]", "the script"),
        ("steps: [{sing: la}]", "step 1, sing"),
        ("steps: [{say: a}, {say: b, press: '1'}]", "step 2: must name exactly one"),
        ("steps: [{press: '1', interrupt_after_ms: 5}]", "step 1: .*go with say"),
        ("steps: [{press: hello}]", "step 1, press"),
        ("steps: [{pause_ms: -1}]", "step 1, pause_ms"),
        ("steps: [{say: ''}]", "step 1, say"),
    ],
)
def test_a_script_that_cannot_be_used_names_the_place(text, why):
    with pytest.raises(BadScript, match=why):
        parse_script(text, "caller.yaml")


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("hello", "12100"),
        ("<Answer/>", "12100"),
        ("<!DOCTYPE a><Response/>", "12100"),
        ("<Response><Sing/></Response>", "12200"),
        ("<Response><Redirect>/next</Redirect></Response>", "11100"),
        ('<Response><Connect action="next"><Stream url="wss://a/b"/></Connect></Response>', "11100"),
        ('<Response><Connect><Stream url="/b"/></Connect></Response>', "11100"),
        ('<Response><Connect><Stream url="wss://a/b?c=1"/></Connect></Response>', "31922"),
        ("<Response><Connect/></Response>", "12100"),
        ('<Response><Pause length="long"/></Response>', "12100"),
    ],
)
def test_twiml_that_twilio_would_refuse_is_refused(document, why):
    with pytest.raises(CallFailed, match=why):
        parse(document.encode())
