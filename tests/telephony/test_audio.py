"""What the ear would notice: µ-law, resampling measured in dB and ms, framing."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.audio import design, g711
from telephony.audio.framing import FRAME_MS, MAX_GAP_MS, FrameAssembler
from telephony.audio.resample import DELAY_MS, Downsampler, Upsampler, low_pass
from telephony.media import PHONE, AudioPacket, WireFormat

SECOND = 8_000


def level_db(signal: np.ndarray, sample_hz: int, low_hz: float, high_hz: float) -> float:
    """The strongest line between two frequencies, in dB of full scale."""
    window = np.blackman(signal.size)
    spectrum = np.abs(np.fft.rfft(signal * window)) * 2 / window.sum()
    bins = np.fft.rfftfreq(signal.size, 1 / sample_hz)
    return float(20 * np.log10(spectrum[(bins >= low_hz) & (bins <= high_hz)].max() + 1e-12))


def sine(hz: float, sample_hz: int, seconds: float = 1.0, level: float = 0.9) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(int(sample_hz * seconds)) / sample_hz)


@given(st.binary(max_size=500))
def test_mu_law_survives_a_round_trip(payload):
    again = g711.encode(g711.decode(payload))
    assert list(again) == [0xFF if byte == 0x7F else byte for byte in payload]  # 0x7F is a second zero


def test_mu_law_is_the_standards():
    assert g711.decode(b"\x00\x80\xff").tolist() == [-32124, 32124, 0]
    assert g711.decode(g711.SILENCE * 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("hz", [200, 1_000, 2_500, 3_100, 3_400])
def test_up_and_down_keep_speech_and_make_no_images(hz):
    up = Upsampler().process((sine(hz, 8_000) * 32_767).astype(np.int16))[2_400:-2_400]
    tone_db = level_db(up, 24_000, hz - 50, hz + 50)
    assert tone_db == pytest.approx(level_db(sine(hz, 24_000), 24_000, 0, 12_000), abs=0.02)
    assert level_db(up, 24_000, 4_500, 12_000) - tone_db <= -83
    down = Downsampler().process(sine(hz, 24_000).astype(np.float32))[800:-800] / 32_768
    assert level_db(down, 8_000, hz - 50, hz + 50) == pytest.approx(tone_db, abs=0.02)


@pytest.mark.parametrize("hz", [4_600, 5_000, 6_000, 7_900, 9_500, 11_900])
def test_what_8_khz_cannot_carry_does_not_fold_back(hz):
    down = Downsampler().process(sine(hz, 24_000).astype(np.float32))[800:-800] / 32_768
    assert level_db(down, 8_000, 0, 4_000) <= -84


@pytest.mark.parametrize("blocks", [[160] * 20, [640] * 5, [1, 7, 33, 500, 2_659]])
def test_blocks_join_without_a_seam(blocks):
    pcm = np.random.default_rng(1).integers(-20_000, 20_000, 3_200).astype(np.int16)
    edges = np.cumsum(blocks)[:-1]
    up = Upsampler()
    joined = np.concatenate([up.process(block) for block in np.split(pcm, edges)])
    assert np.allclose(joined, Upsampler().process(pcm), atol=1e-6)
    high = Upsampler().process(pcm)
    down = Downsampler()
    joined = np.concatenate([down.process(b) for b in np.split(high, edges * 3)])
    assert np.abs(joined.astype(int) - Downsampler().process(high)).max() <= 1


def test_each_way_holds_audio_back_by_two_milliseconds():
    click = np.zeros(800, np.int16)
    click[100] = 20_000
    up = Upsampler().process(click)
    assert np.argmax(np.abs(up)) == 300 + DELAY_MS * 24
    assert np.argmax(np.abs(Downsampler().process(up))) == 100 + 2 * DELAY_MS * 8


def test_too_loud_is_clipped_not_wrapped():
    loud = Downsampler().process(np.full(2_400, 1.5, np.float32))
    assert loud[400:].min() == 32_767
    with pytest.raises(ValueError, match="multiples of 3"):
        Downsampler().process(np.zeros(160, np.float32))


def packet(at_ms: int, value: int = 0x10, ms: int = 20) -> AudioPacket:
    return AudioPacket(at_ms, at_ms // 20, bytes([value]) * (8 * ms))


def heard(frames) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int16), *(frame.pcm for frame in frames)])


def push_all(assembler: FrameAssembler, times) -> list:
    return [frame for at_ms in times for frame in assembler.push(packet(at_ms))]


def test_four_packets_make_a_frame():
    assembler = FrameAssembler()
    assert push_all(assembler, (0, 20, 40)) == []
    (frame,) = assembler.push(packet(60))
    assert (frame.at_ms, frame.pcm.shape, frame.pcm.dtype, frame.filled_ms) == (0, (640,), np.int16, 0)
    assert assembler.counters.packets == 4


def test_a_gap_is_silence_of_its_own_length():
    assembler = FrameAssembler()
    frames = push_all(assembler, (0, 20, 100, 120, 140))
    assert [frame.at_ms for frame in frames] == [0, 80]
    assert sum(frame.filled_ms for frame in frames) == 60
    sound = heard(frames).reshape(-1, 160).any(axis=1)
    assert sound.tolist() == [True, True, False, False, False, True, True, True]
    assert (assembler.counters.gaps, assembler.counters.filled_ms) == (1, 60)


def test_late_and_doubled_packets_are_dropped():
    assembler = FrameAssembler()
    frames = push_all(assembler, (0, 20, 20, 0, 40, 60, 60))
    assert len(frames) == 1
    assert assembler.counters.late == 3


def test_a_first_timestamp_between_packets_loses_nothing():
    frames = push_all(FrameAssembler(), range(5, 165, 20))
    assert [frame.filled_ms for frame in frames] == [0, 0]


def test_a_leap_of_the_clock_is_closed_up_and_the_way_back_found():
    assembler = FrameAssembler()
    frames = push_all(assembler, (0, 20, 10**9, 10**9 + 20))
    assert [frame.at_ms for frame in frames] == [0]
    assert assembler.counters.clock_jumps == 1
    frames = push_all(assembler, range(40, 40 + 20 * 60, 20))
    assert assembler.counters.late == 25
    assert frames[0].at_ms == 80
    assert assembler.counters.clock_jumps == 2


def test_odd_packets_are_counted():
    assembler = FrameAssembler()
    assert assembler.push(packet(0, ms=0)) == []
    assert assembler.push(packet(0, ms=MAX_GAP_MS + 20)) == []
    assert assembler.counters.unusable == 2
    with pytest.raises(ValueError, match="8 kHz"):
        FrameAssembler(WireFormat("pcm16", 16_000, 20, 640))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 10**6) | st.integers(0, 4_000), st.integers(0, 400)), max_size=60))
def test_whatever_arrives_frames_follow_each_other_and_stay_bounded(packets):
    assembler = FrameAssembler()
    frames = []
    for at_ms, length in packets:
        made = assembler.push(AudioPacket(at_ms, 0, b"\x00" * length))
        assert len(made) <= (MAX_GAP_MS + 100) // FRAME_MS + 1
        frames += made
    assert [frame.at_ms for frame in frames] == [FRAME_MS * index for index in range(len(frames))]
    assert all(frame.pcm.size == 640 and 0 <= frame.filled_ms <= FRAME_MS for frame in frames)
    assert sum(frame.filled_ms for frame in frames) <= assembler.counters.filled_ms
    assert PHONE.packet_bytes == 160


def test_the_kept_taps_are_the_designs():
    assert low_pass().size == design.TAPS
    assert np.allclose(low_pass(), design.design(), rtol=0, atol=1e-9)


def test_resampling_does_not_load_the_designer():
    program = (
        "import sys, telephony.audio.resample as r; r.Upsampler(); r.Downsampler(); sys.exit('scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
