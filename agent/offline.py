"""A recording answered by an engine, offline: sound in, the agent's sound and timed words out.

WAV ─▶ frames ─▶ session.push, a few ahead ─▶ session.frames ─▶ WAV, words
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.duplex import FRAME_MS, FRAME_SAMPLES, SAMPLE_HZ, AgentFrame, DuplexEngine, DuplexError, RolePrompt, Samples

SAMPLE_HZ_READ = range(4_000, 384_001)
"""Rates of recordings. Resampling by odd ratios takes memory by the rate, which a torn header may put at anything."""

AHEAD_FRAMES = 4
"""Enough to keep the device busy, too few for an engine to drop any from a backlog."""


class RecordingError(DuplexError):
    """A sound file that can't be read or written; the message names it."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the agent, in milliseconds from the recording's beginning; whole frames, as the model thinks."""

    text: str
    start_ms: int
    end_ms: int


def read_recording(path: Path) -> list[Samples]:
    """Return a sound file as frames, [FRAME_SAMPLES] float32 each: mono, 24 kHz, the last one filled with silence.

    Raises:
        RecordingError: it is no sound file, empty, or of a rate that no recorder has.
    """
    import soundfile
    from scipy.signal import resample_poly

    if not path.exists():
        raise RecordingError(f"There is no recording {path}.")
    try:
        sound, sample_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise RecordingError(f"The recording {path} can't be read ({error}); give a WAV file.") from error
    mono = np.nan_to_num(sound).mean(axis=1)
    if not len(mono):
        raise RecordingError(f"The recording {path} is empty.")
    if sample_hz not in SAMPLE_HZ_READ:
        first, last = SAMPLE_HZ_READ[0], SAMPLE_HZ_READ[-1]
        raise RecordingError(f"The recording {path} has {sample_hz} samples a second; give one of {first} to {last}.")
    if sample_hz != SAMPLE_HZ:
        mono = resample_poly(mono, SAMPLE_HZ, sample_hz)
    whole = np.pad(np.clip(mono, -1.0, 1.0), (0, -len(mono) % FRAME_SAMPLES)).astype(np.float32)
    return list(whole.reshape(-1, FRAME_SAMPLES))


def check_output(path: Path, caller: Path) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        RecordingError: ``path`` is no name of a WAV file, is the ``caller``'s recording, or can't be written.
    """
    if path.suffix.lower() != ".wav":
        raise RecordingError(f"The output is a WAV file; give {path} a name that ends with .wav.")
    if path.exists() and caller.exists() and path.samefile(caller):
        raise RecordingError(f"The output {path} would overwrite the caller's recording; give it another name.")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise RecordingError(f"The output {path} can't be written: there is no such folder, or it is not yours.")


def write_recording(path: Path, caller: Sequence[Samples], agent: Sequence[Samples]) -> None:
    """Write two tracks, caller left and agent right, 24 kHz, 16 bits.

    Raises:
        RecordingError: the file can't be written.
    """
    import soundfile

    tracks = np.stack((np.concatenate(caller), np.concatenate(agent)), axis=1)
    try:
        soundfile.write(path, tracks, SAMPLE_HZ, subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        if path.is_file():
            path.unlink()  # half of it says less than none
        raise RecordingError(f"The recording {path} can't be written ({error}).") from error


async def answer(
    engine: DuplexEngine, role: RolePrompt, caller: Sequence[Samples], done: Callable[[], None]
) -> list[AgentFrame]:
    """Push a recording as fast as the engine goes; return one frame for each. ``done`` is called for each too.

    Raises:
        DuplexError: the engine can't play the role, or fails.
    """
    session = await engine.open(role)
    said: list[AgentFrame] = []
    try:
        await session.ready()
        for frame in caller[:AHEAD_FRAMES]:
            session.push(frame)
        async for frame in session.frames():
            said.append(frame)
            done()
            if len(said) == len(caller):
                break
            if len(said) + AHEAD_FRAMES <= len(caller):
                session.push(caller[len(said) + AHEAD_FRAMES - 1])
            await asyncio.sleep(0)
    finally:
        await session.close()
    return said


def words(frames: Sequence[AgentFrame]) -> list[SpokenWord]:
    """Join pieces of text to words: a piece that begins with a space begins a word."""
    found: list[SpokenWord] = []
    for frame in frames:
        if not frame.text:
            continue
        start_ms, end_ms = frame.index * FRAME_MS, (frame.index + 1) * FRAME_MS
        if found and not frame.text.startswith(" "):
            last = found.pop()
            found.append(SpokenWord(last.text + frame.text, last.start_ms, end_ms))
        else:
            found.append(SpokenWord(frame.text.strip(), start_ms, end_ms))
    return [word for word in found if word.text]
