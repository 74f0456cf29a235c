""" "Mm-hmm": synthesisers spell it ("em em hum"), so it is hummed here: a voice through a closed mouth."""

import re

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from agent.duplex import SAMPLE_HZ
from agent.engines.cascade.ports import SpokenWord
from agent.engines.cascade.voice_sound import Kind, Raw

_HUM = re.compile(r"(m+[- ]?h+m+|h+m+|m+)[.,!?…]*", re.IGNORECASE)
_PITCH_HZ: dict[Kind, float] = {"female": 190.0, "male": 110.0}
_NASALS = ((260, 60, 1.0), (1_000, 150, 0.2), (2_200, 200, 0.1))
"""Resonances of a nasal (Hz, width in Hz, gain): the murmur low down, and little above it."""
_SYLLABLE_MS = 260


def is_hum(text: str) -> bool:
    """Whether ``text`` is nothing but a hum."""
    return _HUM.fullmatch(text.strip()) is not None


def hum(text: str, kind: Kind) -> Raw:
    """Hum ``text``: two syllables for "mm-hmm", one for "hmm", the pitch rising at the end."""
    syllables = 2 if re.search(r"m\W?h", text, re.IGNORECASE) else 1
    t = np.arange(SAMPLE_HZ * _SYLLABLE_MS * syllables // 1000) / SAMPLE_HZ
    share = t / t[-1]
    pitch = _PITCH_HZ[kind] * (0.95 + 0.25 * share)
    pulses = np.diff(np.floor(np.cumsum(pitch) / SAMPLE_HZ), prepend=0.0)
    source = np.asarray(lfilter([1.0], [1.0, -0.97], pulses - pulses.mean()))
    sound = sum((_resonance(source, *nasal) for nasal in _NASALS), np.zeros(len(t)))
    middle = 0.25 if syllables == 2 else 1.0  # the h between them
    shape = np.interp(share, [0, 0.08, 0.42, 0.5, 0.58, 0.9, 1], [0, 1, 1, middle, 1, 1, 0])
    return Raw((sound * shape).astype(np.float32), SAMPLE_HZ, (SpokenWord(text.strip(), 0),))


def _resonance(source: NDArray[np.float64], centre_hz: float, width_hz: float, gain: float) -> NDArray[np.float64]:
    """Pass ``source`` through one formant (Klatt 1980's two-pole resonator, level at its centre near ``gain``)."""
    radius = np.exp(-np.pi * width_hz / SAMPLE_HZ)
    poles = [1.0, -2 * radius * np.cos(2 * np.pi * centre_hz / SAMPLE_HZ), radius**2]
    return gain * np.asarray(lfilter([1 - radius], poles, source))
