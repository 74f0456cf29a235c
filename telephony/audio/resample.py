"""Streaming resampling between the phone's 8 kHz and an engine's 24 kHz; each way holds audio back by 2 ms.

    8 kHz [N] ── windows [N, 33] @ phases [33, 3] ──▶ 24 kHz [3N]
    24 kHz [3N] ── windows [N, 97] @ taps [97, 1] ──▶ 8 kHz [N]

Both ways use one linear-phase low-pass of 97 taps at 24 kHz (telephony.audio.design). Sixteen windows at a time are
one row of a matrix product: a frame is 40 rows, and BLAS does in 5 µs what 640 scalar products would do in 30.
"""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from telephony.audio.low_pass import HALF

LOW_HZ = 8_000
HIGH_HZ = 24_000
DELAY_MS = 2
"""How much later a sound leaves a resampler than it went in."""

_FACTOR = HIGH_HZ // LOW_HZ
_TAPS = 2 * DELAY_MS * HIGH_HZ // 1000 + 1
_PHASE_TAPS = -(-_TAPS // _FACTOR)
_BLOCK = 16
_LEAST, _MOST = np.float32(-32_768), np.float32(32_767)


@cache
def low_pass() -> NDArray[np.float64]:
    """Return the filter, [97] float64, with unit gain at 0 Hz."""
    return np.array((*HALF, *HALF[-2::-1]))


@cache
def _up_kernel() -> NDArray[np.float64]:
    """Return the filter cut into its three phases, [33, 3], oldest sample first, with the gain zero-stuffing costs."""
    padded = np.zeros(_PHASE_TAPS * _FACTOR)
    padded[:_TAPS] = low_pass() * _FACTOR / 32_768
    return padded.reshape(_PHASE_TAPS, _FACTOR)[::-1]


@cache
def _down_kernel() -> NDArray[np.float64]:
    return low_pass()[::-1, np.newaxis] * 32_768


@cache
def _banded(kernel: str, step: int, block: int) -> NDArray[np.float32]:
    """Return the matrix of ``block`` windows side by side, [(block - 1) * step + K, block * P], for a kernel [K, P]."""
    taps = _up_kernel() if kernel == "up" else _down_kernel()
    width, phases = taps.shape
    matrix = np.zeros(((block - 1) * step + width, block * phases), np.float32)
    for window in range(block):
        matrix[window * step : window * step + width, window * phases : (window + 1) * phases] = taps
    return matrix


class _Stream:
    """One call's samples through a kernel: windows ``step`` apart, the last ``past`` samples kept between blocks."""

    def __init__(self, kernel: str, step: int, past: int) -> None:
        self._kernel = kernel
        self._step = step
        self._past = past
        self._samples = np.zeros(past, np.float32)
        self._matrix = self._windows = np.zeros((0, 0), np.float32)

    def filter(self, new: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [windows * P] float32 for [windows * step] samples."""
        if self._samples.size != self._past + new.size:
            self._prepare(new.size)
        samples = self._samples
        samples[: self._past] = samples[samples.size - self._past :]
        samples[self._past :] = new
        return (self._windows.copy() @ self._matrix).reshape(-1)  # BLAS takes no rows that overlap

    def _prepare(self, size: int) -> None:
        """Lay out the memory for blocks of this size; a call's are nearly always of one."""
        past = self._samples[self._samples.size - self._past :]
        self._samples = np.zeros(self._past + size, np.float32)
        self._samples[size:] = past  # where the next block looks for it
        windows = size // self._step
        block = _BLOCK if windows % _BLOCK == 0 else 1
        self._matrix = _banded(self._kernel, self._step, block)
        shape = (windows // block, self._matrix.shape[0])
        self._windows = as_strided(self._samples, shape, (block * self._step * 4, 4), writeable=False)


class Upsampler:
    """One call's 8 → 24 kHz. Images are at least 83 dB down for sound up to 3.4 kHz."""

    def __init__(self) -> None:
        self._stream = _Stream("up", 1, _PHASE_TAPS - 1)

    def process(self, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return [3N] float32 in [-1, 1] at 24 kHz for [N] int16 at 8 kHz, any N; a call's blocks follow each other."""
        return self._stream.filter(pcm)


class Downsampler:
    """One call's 24 → 8 kHz. What lies above 4.6 kHz comes back at -84 dB or less."""

    def __init__(self) -> None:
        self._stream = _Stream("down", _FACTOR, _TAPS - 1)

    def process(self, audio: NDArray[np.float32]) -> NDArray[np.int16]:
        """Return [N] int16 at 8 kHz for [3N] float32 at 24 kHz; louder than full scale is clipped.

        Raises:
            ValueError: the number of samples is not a multiple of 3.
        """
        if audio.size % _FACTOR:
            raise ValueError(f"24 kHz audio comes in multiples of {_FACTOR} samples, not {audio.size}")
        pcm = self._stream.filter(audio)
        np.rint(pcm, out=pcm)
        np.maximum(pcm, _LEAST, out=pcm)
        np.minimum(pcm, _MOST, out=pcm)
        return pcm.astype(np.int16)
