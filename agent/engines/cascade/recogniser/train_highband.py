"""Train the map from the phone's bands to wide bands on speech that is synthesised here; writes highband.npz.

    sentences ─▶ eSpeak (and flite) ─┬─▶ 16 kHz ──────────────────────▶ wide log power ── target
                                     └─▶ noise, 8 kHz, µ-law ─────────▶ narrow log power ── input

Run ``python -m agent.engines.cascade.recogniser.train_highband``; about three minutes. Equal seeds and equal
voices give equal weights.
"""

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfilt

from agent.engines.cascade.espeak import Espeak
from agent.engines.cascade.ports import PHONE_HZ
from agent.engines.cascade.recogniser.frontend import (
    BANDS,
    WIDE,
    context,
    emphasise,
    mel_spectrum,
    narrow_log_power,
    remove_noise,
)

Samples = NDArray[np.float64]
_WIDE_HZ = 16_000
_SPEECH_RMS = 2_500.0
_LOUD_FRAME = 20.0
"""Log power of loud frames in the target: that of speech at a usual level, so no cepstrum of energy is negative."""

_WHO = """the manager|my neighbor|a young doctor|our teacher|the old farmer|this engineer|every student|the quick fox
her sister|their captain|a small child|the judge|an honest lawyer|the choir|some visitors|nobody|the zebra
a huge elephant|the pilot|my uncle|the queen|fresh juice|the yellow bus|george|charlotte|doctor shaw"""
_DOES = """found|usually brings|should measure|thought about|never changed|is watching|has written|will join
might choose|enjoyed|shouted at|gave away|pushed|cannot fix|loved|examined|threw|described|borrowed|answered
ought to visit|took|voyaged with|used|is washing"""
_WHAT = """a vision of the ocean|three large boxes|the church garden|our new address|fifteen dollars|the treasure map
both yellow shirts|a cup of hot tea|the wrong number|seven oysters|a rough sketch|the engine noise|five fish
my weather report|the rusty bridge|an orange jacket|the thing|cheese and bread|good books|the judge's watch
the south road|a bird in the sky|eighteen letters|the azure car|six thick thistle sticks|a boy's toy"""
_HOW = """in the evening|near the beach|without any reason|last thursday|before lunch|because of the rain|at the station
with great joy|in nineteen ninety four|every other week|under the stairs|through the thick fog|for the whole year
as usual|by half past eight|at zero degrees|over there"""
_ASKING = "how|why|when|where|who|what time"

_LANGUAGES = ("en-us", "en-us", "en-us", "en-gb", "en-GB-scotland", "en-029", "en-GB-x-rp", "en-US-nyc")
_VARIANTS = (
    "f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 klatt klatt2 klatt3 klatt4 Alex Andy Annie Lee Michael Mike steph belinda "
    "linda rob john shelby Alicia Diogo Gene pablo travis edward anika victor adam"
)
_FLITE = ("slt", "rms", "awb", "kal16")


def sentences(rng: np.random.Generator) -> Iterator[str]:
    """Yield sentences that hold every English sound, without end; they mean little."""
    parts = [block.replace("\n", "|").split("|") for block in (_WHO, _DOES, _WHAT, _HOW)]
    while True:
        sentence = " ".join(part[rng.integers(len(part))] for part in parts)
        if rng.random() < 0.3:
            asking = _ASKING.split("|")
            sentence = (
                f"{asking[rng.integers(len(asking))]} did {parts[0][rng.integers(len(parts[0]))]} say {sentence}?"
            )
        yield sentence


def _pick(rng: np.random.Generator, items: Sequence[str]) -> str:
    return items[int(rng.integers(len(items)))]


class Speakers:
    """Speech of many voices at 16 kHz: eSpeak's, and flite's where its program is installed."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._espeak = Espeak()
        self._flite = shutil.which("flite")

    def speak(self, text: str) -> Samples:
        """Return ``text`` in a random voice; pauses before and after, as loud as a caller."""
        spoken = self._by_flite(text) if self._flite and self._rng.random() < 0.5 else self._by_espeak(text)
        loud = spoken[np.abs(spoken) > 0.02 * np.abs(spoken).max()]
        spoken = spoken * _SPEECH_RMS / np.sqrt(np.mean(loud**2))
        return np.concatenate([np.zeros(4_000), spoken, np.zeros(4_000)])

    def _by_espeak(self, text: str) -> Samples:
        language = _pick(self._rng, _LANGUAGES)
        variant = _pick(self._rng, ["", *(f"+{name}" for name in _VARIANTS.split())])
        rate, pitch = int(self._rng.integers(130, 220)), int(self._rng.integers(15, 85))
        spoken = self._espeak.synthesise(text, language + variant, rate, pitch)
        return _at_16k(spoken.samples.astype(np.float64), spoken.sample_hz)

    def _by_flite(self, text: str) -> Samples:
        voice = _pick(self._rng, _FLITE)
        stretch = f"duration_stretch={self._rng.uniform(0.85, 1.2):.2f}"
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/speech.wav"
            command = [str(self._flite), "-voice", voice, "--setf", stretch, "-t", text, "-o", path]
            subprocess.run(command, check=True)  # noqa: S603 - our own words
            samples, sample_hz = soundfile.read(path, dtype="int16")
        return _at_16k(samples.astype(np.float64), sample_hz)


def _at_16k(samples: Samples, sample_hz: int) -> Samples:
    common = np.gcd(_WIDE_HZ, sample_hz)
    return resample_poly(samples, _WIDE_HZ // common, sample_hz // common)


def on_the_phone(wide: Samples, other: Samples, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return 16 kHz speech as a carrier delivers it: noise or another voice under it, band limits, level, µ-law."""
    phone = resample_poly(wide, 1, 2)
    if rng.random() < 0.75:
        phone = phone + _noise(len(phone), other, rng) * _SPEECH_RMS * 10.0 ** (-rng.uniform(8, 35) / 20.0)
    if rng.random() < 0.4:
        edges = [rng.uniform(150, 330), rng.uniform(3_200, 3_700)]
        phone = sosfilt(butter(2, edges, "bandpass", fs=PHONE_HZ, output="sos"), phone)
    return through_ulaw(phone * 10.0 ** (rng.uniform(-20, 6) / 20.0))


def _noise(count: int, other: Samples, rng: np.random.Generator) -> Samples:
    """Return [count] samples of noise of power 1: white, falling with frequency, or somebody talking."""
    kind = rng.random()
    if kind < 0.3:
        noise = np.resize(resample_poly(other, 1, 2), count)
    else:
        noise = rng.normal(size=count)
        if kind < 0.65:
            noise = np.convolve(noise, [1, 0.9, 0.8, 0.6, 0.4, 0.2], "same")
    return noise / np.sqrt(np.mean(noise**2))


def through_ulaw(samples: Samples) -> NDArray[np.int16]:
    """Return what G.711 µ-law leaves of ``samples``, here by its continuous formula."""
    y = np.clip(samples / 32_635.0, -1.0, 1.0)
    code = np.round(np.sign(y) * np.log1p(255.0 * np.abs(y)) / np.log(256.0) * 127.0) / 127.0
    return (np.sign(code) * (256.0 ** np.abs(code) - 1.0) / 255.0 * 32_635.0).astype(np.int16)


@dataclass(slots=True)
class Squares:
    """Sums for a least-squares fit."""

    inputs: NDArray[np.float64]
    products: NDArray[np.float64]

    def add(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        self.inputs += x.T @ x
        self.products += x.T @ y

    def solve(self, ridge: float) -> NDArray[np.float64]:
        """Return the weights [inputs, BANDS]; the last input is the constant, not held down."""
        size = len(self.inputs)
        penalty = ridge * np.trace(self.inputs) / size * np.eye(size)
        penalty[-1, -1] = 0.0
        return np.linalg.solve(self.inputs + penalty, self.products)


def train(count: int, seed: int, reach: int, ridge: float) -> NDArray[np.float64]:
    """Fit the map on ``count`` sentences; see HighBand for its shape."""
    rng = np.random.default_rng(seed)
    speakers, texts = Speakers(rng), sentences(rng)
    squares: Squares | None = None
    other = speakers.speak(next(texts))
    for _ in range(count):
        wide = speakers.speak(next(texts))
        hiss = rng.normal(size=len(wide)) * _SPEECH_RMS * 10.0 ** (-rng.uniform(38, 50) / 20.0)
        target = np.log(remove_noise(mel_spectrum(emphasise(wide + hiss), WIDE)) + 1e-4)
        target += _LOUD_FRAME - np.percentile(np.log(np.exp(target).sum(axis=1)), 95)
        x = context(narrow_log_power(on_the_phone(wide, other, rng)), reach)
        length = min(len(x), len(target))
        squares = squares or Squares(np.zeros((x.shape[1],) * 2), np.zeros((x.shape[1], BANDS)))
        squares.add(x[:length], target[:length])
        other = wide
    if squares is None:
        raise ValueError("count: at least one sentence is needed to train on")
    return squares.solve(ridge)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train the map from the phone's bands to wide bands; writes highband.npz."
    )
    parser.add_argument("--sentences", type=int, default=600, help="how many sentences to speak (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all that is random (default: %(default)s)")
    parser.add_argument("--reach", type=int, default=4, help="frames of context on each side (default: %(default)s)")
    parser.add_argument("--ridge", type=float, default=1e-3, help="weight of small weights (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("highband.npz"), help="file to write")
    chosen = parser.parse_args()
    weights = train(chosen.sentences, chosen.seed, chosen.reach, chosen.ridge)
    np.savez_compressed(chosen.out, weights=weights.astype(np.float32), reach=np.int64(chosen.reach))


if __name__ == "__main__":
    main()
