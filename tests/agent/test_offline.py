"""A recording answered offline, by an engine that repeats it and by one that follows a script."""

import resource

import numpy as np
import pytest
import soundfile

from agent.duplex import FRAME_SAMPLES, AgentFrame, EngineLost, RoleCard, RolePrompt
from agent.engines.loopback import LoopbackEngine
from agent.offline import RecordingError, SpokenWord, answer, check_output, read_recording, words, write_recording
from tests.agent.exchange import SILENCE, ScriptedEngine

ROLE = RolePrompt("You are Ann.", "NATF2", RoleCard("", "", "", "", "", "", "", ""))


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 40])
async def test_each_frame_is_answered_in_order_and_the_slot_is_free_after(frames: int) -> None:
    engine = LoopbackEngine(slots=1, delay_frames=0)
    caller = [np.full(FRAME_SAMPLES, n / 100, np.float32) for n in range(frames)]
    done = []
    said = await answer(engine, ROLE, caller, lambda: done.append(1))
    assert [frame.index for frame in said] == list(range(frames))
    assert all(np.array_equal(frame.audio, sent) for frame, sent in zip(said, caller, strict=True))
    assert len(done) == frames
    assert engine.capacity().used == 0


async def test_a_lost_engine_is_told_and_frees_the_slot() -> None:
    engine = ScriptedEngine(
        play=lambda index: AgentFrame(0, SILENCE) if index < 2 else EngineLost("The device failed.")
    )
    with pytest.raises(EngineLost, match="device"):
        await answer(engine, ROLE, [SILENCE] * 10, lambda: None)
    assert engine.capacity().used == 0


def test_recordings_of_any_rate_and_channels_become_frames_and_back(tmp_path) -> None:
    path = tmp_path / "in.wav"
    tone = 0.4 * np.sin(2 * np.pi * 300 * np.arange(8_000) / 8_000)
    soundfile.write(path, np.stack((tone, tone), axis=1), 8_000)
    frames = read_recording(path)
    assert len(frames) == 13  # 24 000 samples, the last frame filled with silence
    assert {frame.shape for frame in frames} == {(FRAME_SAMPLES,)}
    assert not frames[-1][FRAME_SAMPLES // 2 + 100 :].any()
    write_recording(tmp_path / "out.wav", frames, [SILENCE] * 13)
    tracks, sample_hz = soundfile.read(tmp_path / "out.wav")
    assert (sample_hz, tracks.shape) == (24_000, (13 * FRAME_SAMPLES, 2))
    assert abs(tracks[:, 0].max() - 0.4) < 0.01
    assert not tracks[:, 1].any()


def test_what_is_no_number_in_a_recording_is_silence(tmp_path) -> None:
    soundfile.write(tmp_path / "in.wav", np.full(FRAME_SAMPLES, np.nan), 24_000, subtype="FLOAT")
    assert not np.concatenate(read_recording(tmp_path / "in.wav")).any()


@pytest.mark.parametrize("sample_hz", [1, 999_999_937])
def test_a_rate_that_no_recorder_has_is_refused(tmp_path, sample_hz: int) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros(100), sample_hz)
    with pytest.raises(RecordingError, match=f"{sample_hz} samples a second"):
        read_recording(tmp_path / "in.wav")


def test_an_output_that_cannot_be_written_is_told_before_the_work(tmp_path) -> None:
    caller, output = tmp_path / "in.wav", tmp_path / "out.wav"
    soundfile.write(caller, np.zeros(10), 24_000)
    check_output(output, caller)
    output.touch()
    check_output(output, caller)
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "link.wav").symlink_to(caller)
    for wrong in ("out", "out.mp3", "absent/out.wav", "folder.wav", "in.wav", "link.wav"):
        with pytest.raises(RecordingError, match=wrong):
            check_output(tmp_path / wrong, caller)


def test_files_that_cannot_be_used_are_named(tmp_path) -> None:
    (tmp_path / "no.wav").write_bytes(b"RIFF nonsense")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8_000)
    for name in ("no.wav", "empty.wav", "absent.wav"):
        with pytest.raises(RecordingError, match=name) as wrong:
            read_recording(tmp_path / name)
        assert "System error" not in str(wrong.value)
    with pytest.raises(RecordingError, match="out"):
        write_recording(tmp_path / "absent" / "out.wav", [SILENCE], [SILENCE])


def test_a_full_disk_leaves_no_torn_recording(tmp_path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(RecordingError, match="can't be written"):
            write_recording(tmp_path / "out.wav", [SILENCE] * 20, [SILENCE] * 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "out.wav").exists()


def test_pieces_become_words_that_last_as_long_as_they_are_spoken() -> None:
    texts = [" Good", "", " mor", "ning", "", "."]
    spoken = words([AgentFrame(index, SILENCE, text) for index, text in enumerate(texts)])
    assert spoken == [SpokenWord("Good", 0, 80), SpokenWord("morning.", 160, 480)]
