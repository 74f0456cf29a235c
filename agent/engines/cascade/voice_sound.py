"""What every voice's sound has in common: no silence around it, one level, one rate, words timed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Literal

import numpy as np
from scipy.signal import resample_poly

from agent.duplex import SAMPLE_HZ, Samples
from agent.engines.cascade.ports import Speech, SpokenWord
from agent.engines.cascade.voice_words import align

Kind = Literal["female", "male"]

_LEVEL_DB = -20.0
_PEAK = 0.95
_SILENT_DB = -42.0
_GRAIN = SAMPLE_HZ // 100
_LEAD_GRAINS, _TRAIL_GRAINS = 2, 6


@dataclass(frozen=True, slots=True)
class Raw:
    """What a synthesiser made of a text: [N] float32 at ``sample_hz`` in [-1, 1], and its words in time."""

    audio: Samples
    sample_hz: int
    words: Sequence[SpokenWord]


def kind_of(voice: str) -> Kind:
    """Return the kind of a persona's voice: NATM0, VARM2 and "male…" are male, all others female."""
    return "male" if voice.lower().startswith(("natm", "varm", "male")) else "female"


def finished(text: str, raw: Raw) -> Speech:
    """Trim the silence around ``raw``, set its level, bring it to SAMPLE_HZ and time the words of ``text``."""
    audio = raw.audio
    if raw.sample_hz != SAMPLE_HZ and len(audio):
        common = gcd(SAMPLE_HZ, raw.sample_hz)
        audio = resample_poly(audio, SAMPLE_HZ // common, raw.sample_hz // common).astype(np.float32)
    first, last, gain = _loud_part(audio)
    audio = np.clip(audio[first:last] * gain, -1.0, 1.0)
    early_ms = first * 1000 / SAMPLE_HZ
    words = [SpokenWord(word.text, max(0, round(word.start_ms - early_ms))) for word in raw.words]
    return Speech(audio, SAMPLE_HZ, align(text, words, len(audio) * 1000 / SAMPLE_HZ))


def _loud_part(audio: Samples) -> tuple[int, int, float]:
    """Return where the speech in ``audio`` begins and ends, and the gain that brings it to its level."""
    grains = audio[: len(audio) // _GRAIN * _GRAIN].reshape(-1, _GRAIN)
    power = np.mean(grains.astype(np.float64) ** 2, axis=1)
    if not len(power) or power.max() <= 0:
        return 0, len(audio), 1.0
    loud = np.flatnonzero(power > power.max() * 10 ** (_SILENT_DB / 10))
    first = max(0, int(loud[0]) - _LEAD_GRAINS) * _GRAIN
    last = min(len(audio), (int(loud[-1]) + 1 + _TRAIL_GRAINS) * _GRAIN)
    gain = 10 ** (_LEVEL_DB / 20) / np.sqrt(power[loud].mean())
    return first, last, float(min(gain, _PEAK / np.abs(audio).max()))
