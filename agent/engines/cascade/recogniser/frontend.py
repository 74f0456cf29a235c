"""Spectra and cepstra of speech, as pocketsphinx makes them at 16 kHz, and their counterpart at 8 kHz.

    16 kHz ─▶ mel_spectrum(WIDE) ─▶ remove_noise ─▶ log ─▶ cepstra       (pocketsphinx's own front end)
     8 kHz ─▶ mel_spectrum(NARROW) ─▶ log ─▶ less its mean ─▶ HighBand   (predicts those cepstra)

The arithmetic follows pocketsphinx 5 (src/fe): Hamming windows of 25.625 ms every 10 ms, 25 triangles from
130 to 6 800 Hz, its noise removal, DCT-II and a lifter of 22. The two rates share their spectral bins of 31.25 Hz.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float64]
"""[T, bands], a frame every 10 ms."""

BANDS = 25
CEPSTRA = 13
FRAME_MS = 10
_LOWEST_HZ, _HIGHEST_HZ, _BIN_HZ = 130.0, 6_800.0, 31.25
_HIGHEST_NARROW_HZ = 3_800.0
_EMPHASIS = 0.97
_LOUD = 1e-3
_LIFTER = 22


@dataclass(frozen=True, slots=True)
class Analysis:
    """How one sampling rate is cut into windows of ``window`` samples and transformed over ``fft`` points."""

    window: int
    hop: int
    fft: int
    filters: NDArray[np.float64]
    """[fft // 2 + 1, bands]"""


def _filters() -> NDArray[np.float64]:
    """[257, BANDS]: triangles of equal area with their corners on bins (fe_build_melfilters)."""
    ends = 2595.0 * np.log10(1.0 + np.array([_LOWEST_HZ, _HIGHEST_HZ]) / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(ends[0], ends[1], BANDS + 2) / 2595.0) - 1.0)
    left, centre, right = (np.floor(corners / _BIN_HZ + 0.5) * _BIN_HZ)[np.arange(3)[:, None] + np.arange(BANDS)]
    hz = np.arange(257)[:, None] * _BIN_HZ
    rise, fall = (hz - left) / (centre - left), (right - hz) / (right - centre)
    return np.clip(np.minimum(rise, fall), 0.0, None) * 2.0 / (right - left)


def _narrow_filters() -> NDArray[np.float64]:
    """[129, 19]: the triangles below the phone's edge, with the emphasis and the level they have at 16 kHz."""
    filters = _filters()
    inside = filters[int(_HIGHEST_NARROW_HZ / _BIN_HZ) + 1 :].sum(axis=0) == 0
    angle = 2.0 * np.pi * np.arange(129) * _BIN_HZ / 16_000
    emphasis = 1.0 + _EMPHASIS**2 - 2.0 * _EMPHASIS * np.cos(angle)
    return filters[:129, inside] * (4.0 * emphasis)[:, None]


WIDE = Analysis(410, 160, 512, _filters())
NARROW = Analysis(205, 80, 256, _narrow_filters())


def mel_spectrum(samples: NDArray[np.number], analysis: Analysis) -> Frames:
    """Return the power of ``samples`` [N] in each band; the last window is filled up with zeros."""
    count = max(0, len(samples) - analysis.window + analysis.hop - 1) // analysis.hop + 1
    padded = np.zeros((count - 1) * analysis.hop + analysis.window)
    padded[: min(len(samples), len(padded))] = samples[: len(padded)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, analysis.window)[:: analysis.hop]
    spectrum = np.fft.rfft(windows * np.hamming(analysis.window), analysis.fft)
    return (spectrum.real**2 + spectrum.imag**2) @ analysis.filters


def emphasise(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ``samples`` less 0.97 of the sample before, as speech at 16 kHz is analysed."""
    samples = samples.astype(np.float64)
    return samples - _EMPHASIS * np.concatenate([samples[:1] * 0.0, samples[:-1]])


def remove_noise(power: Frames) -> Frames:
    """Return band powers with steady noise turned down, frame by frame (fe_noise.c; X. Lei et al., ICASSP 2013)."""
    bands = power.shape[1]
    near = np.abs(np.arange(bands)[:, None] - np.arange(bands)) <= 4
    smooth = near / near.sum(axis=1, keepdims=True)
    level = power[0].copy()
    noise, floor, peak = level / 20.0, level / 20.0, np.zeros(bands)
    gains = np.empty_like(power)
    for now, frame in enumerate(power):
        level = 0.7 * level + 0.3 * frame
        noise = _lower_envelope(level, noise)
        signal = np.maximum(level - noise, 1.0)
        floor = _lower_envelope(signal, floor)
        peak *= 0.85
        masked = np.where(signal < 0.85 * peak, 0.2 * peak, signal)
        peak = np.maximum(peak, signal)
        gains[now] = np.clip(np.maximum(masked, floor) / level, 0.05, 20.0)
    return power * (gains @ smooth.T)


def _lower_envelope(value: NDArray[np.float64], envelope: NDArray[np.float64]) -> NDArray[np.float64]:
    forget = np.where(value >= envelope, 0.995, 0.5)
    return forget * envelope + (1.0 - forget) * value


@cache
def _cosines() -> NDArray[np.float64]:
    order = np.arange(CEPSTRA)[:, None]
    cosines = np.cos(np.pi * order * (np.arange(BANDS) + 0.5) / BANDS) * np.sqrt(2.0 / BANDS)
    cosines[0] *= np.sqrt(0.5)
    return (cosines * (1.0 + _LIFTER / 2.0 * np.sin(np.pi * order / _LIFTER))).T


def cepstra(log_power: Frames) -> NDArray[np.float32]:
    """Return [T, 13] cepstra of log band powers [T, 25]."""
    return (log_power @ _cosines()).astype(np.float32)


def wide_cepstra(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return [T, 13] cepstra of speech at 16 kHz, equal to those pocketsphinx makes of it."""
    return cepstra(np.log(remove_noise(mel_spectrum(emphasise(samples), WIDE)) + 1e-4))


def narrow_log_power(samples: NDArray[np.integer]) -> Frames:
    """Return [T, 19] log band powers of speech at 8 kHz, each band less its mean over the loud frames.

    So neither the level of a line nor its tone matters. The floor is 60 dB below the loudest frames.
    """
    power = mel_spectrum(samples, NARROW)
    loudness = power.sum(axis=1)
    log_power = np.log(power / (np.percentile(loudness, 95) + 1e3) + 1e-6 / power.shape[1])
    loudness = np.exp(log_power).sum(axis=1)
    return log_power - log_power[loudness > loudness.max() * _LOUD].mean(axis=0)
