"""Synthetic callers, as they sound at the other end of a phone line.

text ──▶ flite | eSpeak NG ──▶ 300-3 400 Hz, level, noise ──▶ µ-law and back ──▶ [N] int16 at 8 kHz
"""

from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfilt

from agent.duplex import DuplexError
from agent.engines.cascade.espeak import Espeak, EspeakError
from agent.engines.cascade.normalise import speakable
from agent.engines.cascade.ports import PHONE_HZ, Pcm8k
from agent.engines.cascade.voice_flite import FliteSynthesiser, flite_program
from agent.engines.cascade.voice_hum import hum, is_hum
from agent.engines.cascade.voice_sound import Kind
from telephony.audio import g711

_FLITE: dict[str, Kind] = {"slt": "female", "rms": "male"}
_WITH_FLITE = ("slt", "rms", "en-us")
_WITHOUT = ("en-us", "en-us+f3", "en-gb")
_LEVEL = 0.08
_MARGIN_MS = 300
_CLEAN_DB = 45.0  # no line is as silent as zeros
_LINE = butter(2, (300, 3_400), "bandpass", fs=PHONE_HZ, output="sos")


class BenchError(DuplexError):
    """A benchmark that can't be run as it was asked for."""


def default_voices() -> tuple[str, ...]:
    """Return three voices: flite's slt and rms and eSpeak's en-us, or three of eSpeak where flite is missing."""
    return _WITH_FLITE if flite_program() else _WITHOUT


class Callers:
    """Speaks questions; what was said once is kept."""

    def __init__(self, voices: tuple[str, ...]) -> None:
        """Take flite's ``slt`` and ``rms``, all others as eSpeak NG's voices.

        Raises:
            BenchError: there is no such voice.
        """
        if set(voices) & set(_FLITE) and flite_program() is None:
            raise BenchError("--voices: slt and rms need the program flite, which is not installed.")
        self.voices = voices
        self._espeak = Espeak()
        for voice in set(voices) - set(_FLITE):
            try:
                self._espeak.phonemes("a", voice)
            except EspeakError as error:
                raise BenchError(f"--voices: {error}") from None
        self._flite = FliteSynthesiser() if set(voices) & set(_FLITE) else None
        self._say = lru_cache(maxsize=1_000)(self._synthesise)

    def phone(self, text: str, voice: str, snr_db: float | None, seed: int = 0) -> Pcm8k:
        """Return ``text`` as the phone carries it, 0.3 s of the line around it; blocks.

        ``snr_db`` is speech over white noise, both in the phone's band; None is a clean line.
        """
        margin = np.zeros(PHONE_HZ * _MARGIN_MS // 1000)
        return _over_the_line(np.concatenate([margin, self._say(text, voice), margin]), snr_db, seed)

    def alone(self, text: str, voice: str, snr_db: float | None, before_ms: int) -> tuple[Pcm8k, int]:
        """Return ``text`` after ``before_ms`` of the line and two seconds of it behind; and its onset in ms."""
        before, after = np.zeros(PHONE_HZ * before_ms // 1000), np.zeros(PHONE_HZ * 2)
        return _over_the_line(np.concatenate([before, self._say(text, voice), after]), snr_db or _CLEAN_DB), before_ms

    def _synthesise(self, text: str, voice: str) -> NDArray[np.float64]:
        if is_hum(text):
            raw = hum(text, _FLITE.get(voice, "male"))
            audio, sample_hz = raw.audio, raw.sample_hz
        elif voice in _FLITE and self._flite is not None:
            raw = self._flite(speakable(text), _FLITE[voice])
            audio, sample_hz = raw.audio, raw.sample_hz
        else:
            spoken = self._espeak.synthesise(speakable(text), voice)
            audio, sample_hz = spoken.samples / 32_768, spoken.sample_hz
        common = gcd(PHONE_HZ, sample_hz)
        narrow = np.asarray(sosfilt(_LINE, resample_poly(audio, PHONE_HZ // common, sample_hz // common)))
        loud = np.flatnonzero(np.abs(narrow) > 0.02 * np.abs(narrow).max())
        narrow = narrow[loud[0] : loud[-1] + 1]
        return narrow * (_LEVEL / np.sqrt(np.mean(narrow**2)))


def _over_the_line(sound: NDArray[np.float64], snr_db: float | None, seed: int = 0) -> Pcm8k:
    """Add the line's noise and code the sound as G.711 does."""
    if snr_db is not None:
        noise = np.random.default_rng(seed).normal(0, 1, len(sound) + PHONE_HZ)
        noise = np.asarray(sosfilt(_LINE, noise))[PHONE_HZ:]
        sound = sound + noise * (_LEVEL * 10 ** (-snr_db / 20) / noise.std())
    pcm = np.clip(sound * 32_768, -32_768, 32_767).astype(np.int16)
    return g711.decode(g711.encode(pcm))
