"""µ-law, the phone network's 8-bit audio, to and from 16-bit samples."""

import audioop

import numpy as np
from numpy.typing import NDArray

SILENCE = b"\xff"
"""One sample of µ-law silence."""


def decode(payload: bytes) -> NDArray[np.int16]:
    """Return [N] int16 for N bytes of µ-law (ITU-T G.711)."""
    return np.frombuffer(audioop.ulaw2lin(payload, 2), dtype=np.int16)


def encode(pcm: NDArray[np.int16]) -> bytes:
    """Return N bytes of µ-law for [N] int16."""
    return audioop.lin2ulaw(np.ascontiguousarray(pcm, dtype=np.int16).tobytes(), 2)
