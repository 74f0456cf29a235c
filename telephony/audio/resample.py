"""Streaming resampling between the phone's 8 kHz and an engine's 24 kHz; each way holds audio back by 2 ms.

    8 kHz [N] ── windows [N, 33] @ phases [33, 3] ──▶ 24 kHz [3N]
    24 kHz [3N] ── windows [N, 97] @ taps [97] ──▶ 8 kHz [N]

Both ways use one linear-phase low-pass of 97 taps at 24 kHz (Parks-McClellan, pass to 3.4 kHz, stop from 4.6 kHz).
"""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

LOW_HZ = 8_000
HIGH_HZ = 24_000
DELAY_MS = 2
"""How much later a sound leaves a resampler than it went in."""

_FACTOR = HIGH_HZ // LOW_HZ
_TAPS = 2 * DELAY_MS * HIGH_HZ // 1000 + 1
_PHASE_TAPS = -(-_TAPS // _FACTOR)
_PASS_HZ, _STOP_HZ = 3_400, LOW_HZ - 3_400
_STOP_WEIGHT = 10.0  # how much more an image or alias counts than a ripple in the pass band


@cache
def low_pass() -> NDArray[np.float64]:
    """Return the filter, [97] float64, with unit gain at 0 Hz."""
    from scipy.signal import remez  # takes half a second to import

    bands = [0, _PASS_HZ, _STOP_HZ, HIGH_HZ / 2]
    taps = remez(_TAPS, bands, [1, 0], weight=[1, _STOP_WEIGHT], fs=HIGH_HZ)
    return taps / taps.sum()


@cache
def _phases() -> NDArray[np.float32]:
    """Return the filter cut into its three phases, [33, 3], oldest sample first, with the gain zero-stuffing costs."""
    padded = np.zeros(_PHASE_TAPS * _FACTOR)
    padded[:_TAPS] = low_pass() * _FACTOR
    return np.ascontiguousarray(padded.reshape(_PHASE_TAPS, _FACTOR)[::-1], dtype=np.float32)


@cache
def _reversed_taps() -> NDArray[np.float32]:
    return np.ascontiguousarray(low_pass()[::-1] * 32_768, dtype=np.float32)


class Upsampler:
    """One call's 8 → 24 kHz. Images are at least 83 dB down for sound up to 3.4 kHz."""

    def __init__(self) -> None:
        self._past = np.zeros(_PHASE_TAPS - 1, dtype=np.float32)
        self._filter = _phases()

    def process(self, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return [3N] float32 in [-1, 1] at 24 kHz for [N] int16 at 8 kHz, any N; a call's blocks follow each other."""
        stream = np.concatenate((self._past, pcm.astype(np.float32) / 32_768))
        self._past = stream[pcm.size :]
        return (sliding_window_view(stream, _PHASE_TAPS) @ self._filter).reshape(-1)


class Downsampler:
    """One call's 24 → 8 kHz. What lies above 4.6 kHz comes back at -84 dB or less."""

    def __init__(self) -> None:
        self._past = np.zeros(_TAPS - 1, dtype=np.float32)
        self._filter = _reversed_taps()

    def process(self, audio: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return [N] int16 at 8 kHz for [3N] float32 at 24 kHz; louder than full scale is clipped.

        Raises:
            ValueError: the number of samples is not a multiple of 3.
        """
        if audio.size % _FACTOR:
            raise ValueError(f"24 kHz audio comes in multiples of {_FACTOR} samples, not {audio.size}")
        stream = np.concatenate((self._past, audio.astype(np.float32, copy=False)))
        self._past = stream[audio.size :]
        pcm = sliding_window_view(stream, _TAPS)[::_FACTOR][: audio.size // _FACTOR] @ self._filter
        return np.clip(np.rint(pcm), -32_768, 32_767).astype(np.int16)
