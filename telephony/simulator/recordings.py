"""Recordings as the phone line carries them: 8 kHz, one channel."""

from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from telephony.audio import g711
from telephony.media import PHONE
from telephony.simulator.callers import Pcm8k
from telephony.simulator.errors import BadScript

_RAW = {".ulaw", ".ul", ".mulaw"}
_MAX_S = 3_600


def load_recording(path: Path) -> Pcm8k:
    """Return [N] int16 at 8 kHz of raw µ-law (``.ulaw``) or whatever soundfile reads (WAV, FLAC, MP3, Ogg …).

    Raises:
        BadScript: the file is missing, not audio, empty, or longer than an hour.
    """
    if not path.is_file():
        raise BadScript(f"{path}: there is no such file.")
    pcm = g711.decode(path.read_bytes()) if path.suffix.lower() in _RAW else _read(path)
    if not pcm.size:
        raise BadScript(f"{path}: holds no audio.")
    return pcm


def to_phone(audio: NDArray[np.floating], sample_hz: int) -> Pcm8k:
    """Return [N] int16 at 8 kHz for audio in [-1, 1] at any rate, [M] or [M, channels]; low-passed, no delay."""
    from scipy.signal import resample_poly  # takes half a second to import

    mono = audio if audio.ndim == 1 else audio.mean(axis=1)
    if sample_hz != PHONE.sample_hz:
        common = gcd(sample_hz, PHONE.sample_hz)
        mono = resample_poly(mono, PHONE.sample_hz // common, sample_hz // common)
    return np.clip(np.rint(mono * 32_767), -32_768, 32_767).astype(np.int16)


def _read(path: Path) -> Pcm8k:
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > _MAX_S * file.samplerate:
                raise BadScript(f"{path}: is longer than an hour.")
            return to_phone(file.read(dtype="float32"), file.samplerate)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise BadScript(f"{path}: can't be read as audio; use WAV, FLAC, Ogg, MP3, or raw µ-law (.ulaw).") from error
