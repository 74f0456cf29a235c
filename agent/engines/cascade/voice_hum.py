""" "Mm-hmm": synthesisers spell it ("em em hum"), so it is hummed here: a voice through a closed mouth."""

import re

import numpy as np

from agent.duplex import SAMPLE_HZ
from agent.engines.cascade.ports import SpokenWord
from agent.engines.cascade.voice_sound import Kind, Raw

_HUM = re.compile(r"(m+[- ]?h+m+|h+m+|m+)[.,!?…]*", re.IGNORECASE)
_PITCH_HZ: dict[Kind, float] = {"female": 190.0, "male": 110.0}
_NASAL_HZ, _NASAL_WIDTH_HZ = 260.0, 90.0  # the nasal murmur's one strong resonance
_SYLLABLE_MS = 260


def is_hum(text: str) -> bool:
    """Whether ``text`` is nothing but a hum."""
    return _HUM.fullmatch(text.strip()) is not None


def hum(text: str, kind: Kind) -> Raw:
    """Hum ``text``: two syllables for "mm-hmm", one for "hmm", the pitch rising at the end."""
    syllables = 2 if re.search(r"m\W?h", text, re.IGNORECASE) else 1
    t = np.arange(SAMPLE_HZ * _SYLLABLE_MS * syllables // 1000) / SAMPLE_HZ
    share = t / t[-1]
    phase = 2 * np.pi * np.cumsum(_PITCH_HZ[kind] * (0.95 + 0.25 * share)) / SAMPLE_HZ
    numbers = range(1, int(1_800 / _PITCH_HZ[kind]))
    gains = [1 / (1 + ((n * _PITCH_HZ[kind] - _NASAL_HZ) / _NASAL_WIDTH_HZ) ** 2) for n in numbers]
    sound = sum(gain * np.sin(n * phase) for n, gain in zip(numbers, gains, strict=True))
    middle = 0.25 if syllables == 2 else 1.0  # the h between them
    shape = np.interp(share, [0, 0.08, 0.42, 0.5, 0.58, 0.9, 1], [0, 1, 1, middle, 1, 1, 0])
    return Raw((sound * shape).astype(np.float32), SAMPLE_HZ, (SpokenWord(text.strip(), 0),))
