"""The network that predicts, from phone speech, the cepstra of the same speech at 16 kHz and without its noise.

19 bands × 17 frames ─┬─▶ 320 ─▶ 320 ─▶ (+) ─▶ 13 cepstra of the frame in the middle
                      └────── linear ───▶┘
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from agent.engines.cascade.recogniser.frontend import CEPSTRA, narrow_log_power

Matrix = NDArray[np.float32]

_ENERGY = 200.0
"""Added to the cepstrum of energy: pocketsphinx leaves frames where it is negative out of its mean."""


def context(frames: Matrix, reach: int) -> Matrix:
    """Return each frame beside the ``reach`` before and after it, [T, (2 reach + 1) bands]."""
    padded = np.pad(frames, ((reach, reach), (0, 0)), mode="edge")
    return np.concatenate([padded[at : at + len(frames)] for at in range(2 * reach + 1)], axis=1)


@dataclass(slots=True)
class HighBand:
    """Weights by layer; inputs are scaled by ``scale`` after ``mean`` is taken off, both [19]."""

    mean: Matrix
    scale: Matrix
    first: Matrix
    first_bias: Matrix
    second: Matrix
    second_bias: Matrix
    last: Matrix
    last_bias: Matrix
    linear: Matrix

    @classmethod
    def load(cls) -> "HighBand":
        """Load what train_highband.py wrote."""
        with (files("agent.engines.cascade.recogniser") / "highband.npz").open("rb") as file, np.load(file) as data:
            return cls(**{name: data[name].astype(np.float32) for name in cls.__slots__})

    def save(self, file: BinaryIO) -> None:
        arrays: dict[str, Any] = {name: getattr(self, name).astype(np.float16) for name in self.__slots__}
        np.savez_compressed(file, **arrays)

    @property
    def reach(self) -> int:
        """Frames of context on each side."""
        return (len(self.first) // len(self.mean) - 1) // 2

    def cepstra(self, samples: NDArray[np.integer]) -> Matrix:
        """Return [T, 13] cepstra of speech [N] at 8 kHz; their mean over the utterance is 0, but for energy."""
        frames = (narrow_log_power(samples).astype(np.float32) - self.mean) * self.scale
        predicted = self.layers(context(frames, self.reach))[-1]
        predicted -= predicted.mean(axis=0)
        predicted[:, 0] += _ENERGY
        return predicted

    def layers(self, x: Matrix) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return both hidden layers' values and the cepstra, for inputs [T, (2 reach + 1) 19]."""
        one = (x @ self.first + self.first_bias).clip(0)
        two = (one @ self.second + self.second_bias).clip(0)
        out = two @ self.last + self.last_bias + x @ self.linear
        return one, two, out


def blank(mean: Matrix, scale: Matrix, reach: int, hidden: int, rng: np.random.Generator) -> HighBand:
    """Return a network with random weights."""

    def layer(inputs: int, outputs: int, gain: float = 1.0) -> Matrix:
        return (rng.normal(size=(inputs, outputs)) * gain * np.sqrt(2.0 / inputs)).astype(np.float32)

    inputs = len(mean) * (2 * reach + 1)
    biases = [np.zeros(size, np.float32) for size in (hidden, hidden, CEPSTRA)]
    return HighBand(
        mean,
        scale,
        *(layer(inputs, hidden), biases[0]),
        *(layer(hidden, hidden), biases[1]),
        *(layer(hidden, CEPSTRA, 0.1), biases[2]),
        layer(inputs, CEPSTRA, 0.1),
    )
