"""Train the high band's network on speech that is synthesised here; writes highband.npz.

    words ─▶ eSpeak (and flite) ─┬─▶ 16 kHz ──▶ wide cepstra ──▶ phones by alignment ── targets
                                 └─▶ tone, noise, 8 kHz, µ-law ──▶ narrow log power ─── input

Run ``python -m agent.engines.cascade.recogniser.train_highband --steps 0 --sentences 1500``: half an hour on two
cores; then the same with ``--go-on``, five minutes, in which the acoustic model judges. Equal seeds, voices and
arithmetic give equal weights.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pocketsphinx
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, resample_poly, sosfilt

from agent.engines.cascade.espeak import Espeak
from agent.engines.cascade.ports import PHONE_HZ
from agent.engines.cascade.recogniser.acoustics import PhoneModel
from agent.engines.cascade.recogniser.fitting import Plan, Trainer, Utterance
from agent.engines.cascade.recogniser.frontend import narrow_log_power, wide_cepstra
from agent.engines.cascade.recogniser.highband import HighBand, Matrix
from agent.engines.cascade.recogniser.language import END, START, english

Samples = NDArray[np.float64]
_WIDE_HZ = 16_000
_SPEECH_RMS = 2_500.0
_NOISES = ((28.0, 50.0), (16.0, 28.0), (6.0, 18.0))
"""Speech over noise in dB, from and to."""

_LANGUAGES = ("en-us", "en-us", "en-us", "en-gb", "en-GB-scotland", "en-029", "en-GB-x-rp", "en-US-nyc")
_VARIANTS = (
    "f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8 klatt klatt2 klatt3 klatt4 Alex Andy Annie Lee Michael Mike steph belinda "
    "linda rob john shelby Alicia Diogo Gene pablo travis edward anika victor adam"
)
_FLITE_SHARE = 0.5
_FLITE = ("slt", "rms", "awb", "kal16")


def sentences(rng: np.random.Generator) -> Iterator[str]:
    """Yield strings of words that may follow each other in English, drawn from the general model, without end."""
    model = english()
    anything = [word for word in model.alone if word != END]
    while True:
        words: list[str] = []
        for _ in range(int(rng.integers(4, 13))):
            after = model.after.get((words[-1] if words else START,), {})
            known = [word for word in after if word != END]
            # The root makes rare words commoner: what counts is how many different sounds follow each other.
            odds = np.sqrt([after[word] for word in known])
            free = not known or rng.random() < 0.3
            words.append(_pick(rng, anything) if free else known[int(rng.choice(len(known), p=odds / odds.sum()))])
        yield " ".join(words)


def _pick(rng: np.random.Generator, items: Sequence[str]) -> str:
    return items[int(rng.integers(len(items)))]


class Speakers:
    """Speech of many voices at 16 kHz: eSpeak's, and flite's where its program is installed."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._espeak = Espeak()
        self._flite = shutil.which("flite")

    def speak(self, text: str) -> Samples:
        """Return ``text`` in a random voice, often of a longer or shorter throat than it has; pauses around it."""
        spoken = self._by_flite(text) if self._flite and self._rng.random() < _FLITE_SHARE else self._by_espeak(text)
        if self._rng.random() < 0.7:
            spoken = resample_poly(spoken, int(self._rng.integers(84, 120)), 100)
        return np.pad(_as_loud(spoken), 4_000)

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


def on_the_phone(wide: Samples, other: Samples, snr_db: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return 16 kHz speech as a carrier delivers it: tone and band of a line, noise or a voice under it, µ-law."""
    phone = resample_poly(wide, 1, 2)
    if rng.random() < 0.5:
        phone = _as_loud(phone + rng.uniform(-0.5, 0.5) * np.append(0.0, phone[:-1]))
    phone = phone + _noise(len(phone), other, rng) * _SPEECH_RMS * 10.0 ** (-snr_db / 20.0)
    if rng.random() < 0.6:
        edges = [rng.uniform(120, 330), rng.uniform(3_250, 3_700)]
        phone = sosfilt(butter(int(rng.integers(1, 4)), edges, "bandpass", fs=PHONE_HZ, output="sos"), phone)
    return through_ulaw(phone * 10.0 ** (rng.uniform(-18, 6) / 20.0))


def _as_loud(samples: Samples) -> Samples:
    loud = samples[np.abs(samples) > 0.02 * np.abs(samples).max()]
    return samples * _SPEECH_RMS / np.sqrt(np.mean(loud**2))


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


def utterances(count: int, rng: np.random.Generator) -> Iterator[Utterance]:
    """Yield ``count`` sentences, each in little, some and much noise."""
    speakers, texts, phones = Speakers(rng), sentences(rng), Phones()
    other = speakers.speak(next(texts))
    while count:
        text = next(texts)
        wide = speakers.speak(text)
        hiss = rng.normal(size=len(wide)) * _SPEECH_RMS * 10.0 ** (-rng.uniform(38, 50) / 20.0)
        target = wide_cepstra(wide + hiss)
        target -= target.mean(axis=0)
        narrow = [
            narrow_log_power(on_the_phone(wide, other, rng.uniform(*noise), rng)).astype(np.float32)
            for noise in _NOISES
        ]
        length = min(len(target), len(narrow[0]))
        labels = phones.align(text, target)[:length]
        if len(labels):
            yield Utterance(tuple(x[:length] for x in narrow), target[:length], labels)
            count -= 1
        other = wide


class Phones:
    """Says which phone each frame of a known text is."""

    def __init__(self) -> None:
        self._model = PhoneModel()
        lines = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).read_text(encoding="utf-8").splitlines()
        self._sounds = dict(line.split(" ", 1) for line in lines)

    def align(self, text: str, cepstra: Matrix) -> NDArray[np.int64]:
        """Return the phones of ``cepstra`` [T, 13] by acoustics.PHONES, [T]; [0] where the audio is too short."""
        pause = ("SIL", True)
        spoken: list[tuple[str, bool]] = [pause]
        for word in text.split():
            spoken += [*((phone, False) for phone in self._sounds[word].split()), pause]
        if len(cepstra) < 4 * len(spoken):
            return np.zeros(0, np.int64)
        return self._model.align(cepstra, spoken)


def main() -> None:
    plan = Plan()
    parser = argparse.ArgumentParser(description="Train the network that predicts wide cepstra; writes highband.npz.")
    parser.add_argument(
        "--go-on", action="store_true", help="go on with the network in the file: the second part alone"
    )
    parser.add_argument("--sentences", type=int, default=800, help="sentences to speak (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of all that is random (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=plan.epochs, help="passes of the first part (%(default)s)")
    parser.add_argument("--steps", type=int, default=plan.steps, help="utterances of the second part (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("highband.npz"), help="file to write")
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    speech = list(utterances(chosen.sentences, rng))
    _say(f"{sum(len(utterance.wide) for utterance in speech) / 6_000:.0f} minutes of speech")
    plan = replace(plan, epochs=0 if chosen.go_on else chosen.epochs, steps=chosen.steps)
    network = Trainer(speech, plan, rng, _say, HighBand.load() if chosen.go_on else None).run()
    with chosen.out.open("wb") as file:
        network.save(file)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
