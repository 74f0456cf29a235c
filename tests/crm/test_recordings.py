"""Recordings on disk: placing, damage, peaks, paths."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.errors import RecordingUnavailable
from crm.recordings import Recordings, read_tracks, recover
from crm.tracks import OPEN_SAMPLES, TrackWriter, wav_header

HZ = 8_000


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path / "recordings")


def tone(samples: int, level: int = 1_000) -> np.ndarray:
    return np.full(samples, level, np.int16)


def written(recordings: Recordings, samples: int = HZ) -> str:
    recording = recordings.new("call")
    writer = TrackWriter(recordings.folder / recording)
    writer.place("caller", 0, tone(samples))
    writer.close(samples)
    return recording


def test_a_file_is_valid_after_every_flush(tmp_path: Path):
    path = tmp_path / "call.wav"
    writer = TrackWriter(path)
    for second in range(5):
        writer.place("caller", second * HZ, tone(HZ, 100 + second))
        writer.place("agent", second * HZ, tone(HZ, -100 - second))
        writer.flush()
        heard, rate = soundfile.read(path, dtype="int16")
        assert (rate, heard.shape) == (HZ, ((second + 1) * HZ, 2))
        assert heard[-1].tolist() == [100 + second, -100 - second]
    writer.close(6 * HZ)
    assert len(soundfile.read(path)[0]) == 6 * HZ


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["caller", "agent"]), st.integers(-6_000, 9_000), st.integers(1, 900)), max_size=40
    )
)
def test_tracks_are_what_was_placed(tmp_path_factory: pytest.TempPathFactory, packets: list[tuple[str, int, int]]):
    """Against an array that has it all, for packets in any order that are no later than the window is long."""
    path = tmp_path_factory.mktemp("tracks") / "call.wav"
    writer, expected, cursor = TrackWriter(path), np.zeros((46 * HZ, 2), np.int16), 0
    for number, (side, step, length) in enumerate(packets, 1):
        start = max(0, cursor + step)
        cursor = max(cursor, start)
        pcm = tone(length, number)
        writer.place(side, start, pcm)  # pyright: ignore[reportArgumentType]
        expected[start : start + length, int(side == "agent")] = pcm
        if number % 3 == 0:
            writer.flush()
    writer.close(0)
    found = read_tracks(path)
    assert writer.late_samples == 0
    assert np.array_equal(found, expected[: len(found)])
    assert not expected[len(found) :].any()


def test_what_comes_too_late_is_counted(tmp_path: Path):
    writer = TrackWriter(tmp_path / "call.wav")
    writer.place("caller", 60 * HZ, tone(HZ))
    writer.place("caller", 60 * HZ - OPEN_SAMPLES, tone(100))
    writer.close(0)
    assert 0 < writer.late_samples <= 100
    assert len(read_tracks(tmp_path / "call.wav")) == 61 * HZ


def test_a_long_gap_is_silence(tmp_path: Path):
    writer = TrackWriter(tmp_path / "call.wav")
    writer.place("caller", 0, tone(100))
    writer.place("agent", 600 * HZ, tone(100))
    writer.close(0)
    found = read_tracks(tmp_path / "call.wav")
    assert len(found) == 600 * HZ + 100
    assert not found[100 : 600 * HZ].any()
    assert found[-1].tolist() == [0, 1_000]


def test_a_killed_writers_file_is_mended(tmp_path: Path):
    path = tmp_path / "call.wav"
    path.write_bytes(wav_header(10) + b"\1\0\1\0" * 4_000 + b"\7")
    assert recover(path) == 500
    heard, _ = soundfile.read(path, dtype="int16")
    assert heard.shape == (4_000, 2)
    assert recover(path) == 500


def test_a_file_of_others_is_left_alone(tmp_path: Path):
    path = tmp_path / "other.wav"
    soundfile.write(path, np.zeros(100), 44_100)
    before = path.read_bytes()
    with pytest.raises(RecordingUnavailable):
        recover(path)
    with pytest.raises(RecordingUnavailable):
        read_tracks(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "recording", ["", "../../etc/passwd", "/etc/passwd", "2026/07/14/../../../x.wav", "2026/07/14/no.wav"]
)
def test_no_path_leads_out_of_the_folder(recordings: Recordings, recording: str):
    with pytest.raises(RecordingUnavailable):
        recordings.file(recording)


def test_a_call_id_is_no_path(recordings: Recordings):
    for call_id in ("../x", "a/b", "", "x" * 65):
        with pytest.raises(ValueError, match="id"):
            recordings.new(call_id)


def test_peaks_are_computed_once(recordings: Recordings):
    recording = written(recordings)
    path = recordings.file(recording)
    peaks = recordings.peaks(recording, 10)
    assert peaks == {"caller": [round(1_000 / 32_767, 4)] * 10, "agent": [0.0] * 10}
    kept = path.with_suffix(".peaks-10.json")
    kept.write_text(json.dumps({"caller": [1.0], "agent": [1.0]}))
    assert recordings.peaks(recording, 10)["caller"] == [1.0]
    kept.write_text("{torn")
    assert recordings.peaks(recording, 10) == peaks
    with pytest.raises(ValueError, match="slices"):
        recordings.peaks(recording, 0)


def test_peaks_of_an_empty_recording(recordings: Recordings):
    assert recordings.peaks(written(recordings, 0), 3) == {"caller": [0.0] * 3, "agent": [0.0] * 3}
