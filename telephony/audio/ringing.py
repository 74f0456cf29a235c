"""What a caller hears who waits: the ring-back tone, as samples and as a WAV that the carrier plays."""

import struct
from functools import cache

import numpy as np
from numpy.typing import NDArray

from telephony.audio import g711
from telephony.media import PHONE

RING_S, PAUSE_S = 2.0, 1.8
TONES_HZ = (440, 480)  # the American ring-back tone, with less of a pause: nobody takes it for a dead line
_LEVEL = 0.12
_MULAW = 7  # WAVE_FORMAT_MULAW


def ringing() -> NDArray[np.int16]:
    """Return one ring and its pause, 3.8 s at 8 kHz."""
    at_s = np.arange(int(RING_S * PHONE.sample_hz)) / PHONE.sample_hz
    ring = np.sum([np.sin(2 * np.pi * hz * at_s) for hz in TONES_HZ], axis=0) * _LEVEL * 32_767
    pause = np.zeros(int(PAUSE_S * PHONE.sample_hz), np.int16)
    return np.concatenate((ring.astype(np.int16), pause))


@cache
def ringing_wav() -> bytes:
    """Return ``ringing`` as µ-law in a WAV."""
    audio = g711.encode(ringing())
    layout = struct.pack("<HHIIHHH", _MULAW, 1, PHONE.sample_hz, PHONE.sample_hz, 1, 8, 0)
    chunks = b"".join(
        name + struct.pack("<I", len(body)) + body
        for name, body in ((b"fmt ", layout), (b"fact", struct.pack("<I", len(audio))), (b"data", audio))
    )
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks
