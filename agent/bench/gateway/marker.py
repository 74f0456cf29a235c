"""Sound that can be found again: bursts of noise, each like no other, and how late they were heard.

said   ▁▁████▁▁▁▁▁▁████▁▁▁▁          a burst a second, silence between: speech has pauses too
heard  ▁▁▁▁████▁▁▁▁▁▁████▁▁          its place by cross-correlation, to a sample (1/8 ms)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telephony.audio import g711
from telephony.media import PHONE

PERIOD_MS = 1_000
BURST_MS = 400
REPEATS_S = 60
LONGEST_LATENCY_MS = 6_000
_LEAD_MS = 200
_PER_MS = PHONE.sample_hz // 1000
_LEVEL = 6_000
_ALIKE = (
    0.25  # correlation: 0.97 after µ-law and two resamplers, half of that where a hole splits it; others under 0.15
)


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst: when it was said, ms since the call's first sample, and how much later it was heard, if it was."""

    said_ms: float
    latency_ms: float | None


def track(seed: int) -> NDArray[np.int16]:
    """Return a minute of bursts, [480 000] int16 at 8 kHz, ``seed``'s own; it may be repeated without end."""
    noise = np.random.default_rng(seed).standard_normal(REPEATS_S * 1000 * _PER_MS)
    band = np.convolve(noise, np.hanning(7) / np.hanning(7).sum(), "same")
    at_ms = np.arange(band.size) // _PER_MS % PERIOD_MS
    band[(at_ms < _LEAD_MS) | (at_ms >= _LEAD_MS + BURST_MS)] = 0
    return np.clip(band / band[band != 0].std() * _LEVEL, -30_000, 30_000).astype(np.int16)


def packets(pcm: NDArray[np.int16]) -> list[bytes]:
    """Return the µ-law packets of a track, 160 bytes each."""
    return [g711.encode(pcm[at : at + PHONE.packet_bytes]) for at in range(0, pcm.size, PHONE.packet_bytes)]


def find_bursts(said: NDArray[np.int16], heard: NDArray[np.int16], said_packets: int) -> list[Burst]:
    """Return every burst that was said whole and long enough ago to be heard.

    ``said`` is the track that was repeated, ``heard`` the phone's ear, [N] int16, both from the call's first sample.
    """
    bursts = []
    said_ms = said_packets * PHONE.packet_ms
    for at_ms in range(_LEAD_MS, said_ms - BURST_MS, PERIOD_MS):
        begin = at_ms * _PER_MS % said.size
        burst = said[begin : begin + BURST_MS * _PER_MS].astype(np.float64)
        window = heard[at_ms * _PER_MS : (at_ms + LONGEST_LATENCY_MS + BURST_MS) * _PER_MS].astype(np.float64)
        bursts.append(Burst(float(at_ms), _latency_ms(burst, window)))
    return bursts


def _latency_ms(burst: NDArray[np.float64], window: NDArray[np.float64]) -> float | None:
    if window.size < burst.size:
        return None
    size = 1 << (window.size + burst.size - 1).bit_length()
    spectrum = np.fft.rfft(window, size) * np.conj(np.fft.rfft(burst, size))
    products = np.fft.irfft(spectrum, size)[: window.size - burst.size + 1]
    energies = _sums(window, burst.size)
    likeness = products / np.sqrt(np.maximum(energies, 1.0) * (burst**2).sum())
    best = int(likeness.argmax())
    return best / _PER_MS if likeness[best] >= _ALIKE else None


def _sums(window: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    sums = np.concatenate(([0.0], np.cumsum(window**2)))
    return sums[length:] - sums[:-length]
