"""Loudness of a recording after ITU-R BS.1770-4, and its normalisation."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Samples = NDArray[np.float32]

_BLOCK_S, _HOP_S = 0.4, 0.1
_ABSOLUTE_GATE, _RELATIVE_GATE = -70.0, -10.0


def loudness(samples: Samples, sample_hz: int) -> float:
    """Return the integrated loudness of a mono recording [N] in LUFS, -inf for silence or less than 0.4 s."""
    weighted = samples.astype(np.float64)
    for b, a in (_shelf(sample_hz), _high_pass(sample_hz)):
        weighted = np.asarray(lfilter(b, a, weighted))
    block, hop = round(_BLOCK_S * sample_hz), round(_HOP_S * sample_hz)
    if len(weighted) < block:
        return -math.inf
    sums = np.concatenate(([0.0], np.cumsum(weighted**2)))
    starts = np.arange(0, len(weighted) - block + 1, hop)
    power = (sums[starts + block] - sums[starts]) / block
    loud = power[_lufs(power) > _ABSOLUTE_GATE]
    if not len(loud):
        return -math.inf
    return float(_lufs(loud[_lufs(loud) > _lufs(loud.mean()) + _RELATIVE_GATE].mean()))


def normalise(samples: Samples, sample_hz: int, target_lufs: float) -> Samples:
    """Scale a mono recording to ``target_lufs``; silence stays as it is, peaks are kept within [-1, 1]."""
    now = loudness(samples, sample_hz)
    if not math.isfinite(now):
        return samples
    return np.clip(samples * 10 ** ((target_lufs - now) / 20), -1.0, 1.0).astype(np.float32)


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return -0.691 + 10 * np.log10(power)


def _shelf(sample_hz: int) -> tuple[list[float], list[float]]:
    """BS.1770's first stage at any rate: the bilinear transform of its analogue prototype."""
    gain_db, q, centre_hz = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k = math.tan(math.pi * centre_hz / sample_hz)
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    scale = 1 + k / q + k * k
    b = [(high + band * k / q + k * k) / scale, 2 * (k * k - high) / scale, (high - band * k / q + k * k) / scale]
    return b, [1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale]


def _high_pass(sample_hz: int) -> tuple[list[float], list[float]]:
    """BS.1770's second stage."""
    q, centre_hz = 0.5003270373238773, 38.13547087602444
    k = math.tan(math.pi * centre_hz / sample_hz)
    scale = 1 + k / q + k * k
    return [1.0, -2.0, 1.0], [1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale]
