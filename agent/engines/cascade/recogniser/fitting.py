"""Fit the high band's network: least squares by Adam (Kingma and Ba, ICLR 2015) in NumPy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.engines.cascade.recogniser.highband import HighBand, Matrix, blank

_BATCH = 512
_WARM_UP = 200
_RATE = 1e-3
_MOMENTUM, _MEMORY = 0.9, 0.999
_WEIGHTS = ("first", "first_bias", "second", "second_bias", "last", "last_bias", "linear")


@dataclass(frozen=True, slots=True)
class Frames:
    """Utterances end to end, each with ``reach`` copies of its ends around it; ``at`` are the frames in them."""

    inputs: Matrix
    at: np.ndarray
    targets: Matrix

    @classmethod
    def of(cls, pairs: Sequence[tuple[Matrix, Matrix]], mean: Matrix, scale: Matrix, reach: int) -> "Frames":
        padded = [np.pad((x - mean) * scale, ((reach, reach), (0, 0)), mode="edge") for x, _ in pairs]
        starts = np.cumsum([0, *(len(x) for x in padded)])
        at = [start + np.arange(len(x)) for start, (x, _) in zip(starts, pairs, strict=False)]
        return cls(np.concatenate(padded), np.concatenate(at), np.concatenate([y for _, y in pairs]))


def fit(
    pairs: Sequence[tuple[Matrix, Matrix]],
    reach: int,
    hidden: int,
    epochs: int,
    rng: np.random.Generator,
    report: Callable[[int, float], None],
) -> HighBand:
    """Fit a network to utterances of (narrow log power [T, 19], cepstra [T, 13]).

    Each cepstrum counts by its own variance. ``report`` is told the epoch and the mean square that is left.
    """
    everything = np.concatenate([x for x, _ in pairs])
    mean, scale = everything.mean(axis=0), 1.0 / everything.std(axis=0)
    frames = Frames.of(pairs, mean, scale, reach)
    spread = frames.targets.std(axis=0)
    network = blank(mean, scale, reach, hidden, rng)
    adam = _Adam(network, epochs * (len(frames.at) // _BATCH))
    offsets = np.arange(2 * reach + 1)
    for epoch in range(epochs):
        order, left = rng.permutation(len(frames.at)), []
        for begin in range(0, len(order) - _BATCH + 1, _BATCH):
            batch = order[begin : begin + _BATCH]
            x = frames.inputs[frames.at[batch][:, None] + offsets].reshape(_BATCH, -1)
            left.append(adam.step(x, frames.targets[batch] / spread))
        report(epoch, float(np.mean(left)))
    network.last, network.last_bias = network.last * spread, network.last_bias * spread
    network.linear = network.linear * spread
    return network


class _Adam:
    """Descends along the gradient of the squared error; the rate rises at first and then falls along a cosine."""

    def __init__(self, network: HighBand, steps: int) -> None:
        self._network, self._steps, self._step = network, steps, 0
        self._mean = {name: np.zeros_like(getattr(network, name)) for name in _WEIGHTS}
        self._square = {name: np.zeros_like(getattr(network, name)) for name in _WEIGHTS}

    def step(self, x: Matrix, y: Matrix) -> float:
        """Take one step; return the mean square before it."""
        one, two, out = self._network.layers(x)
        error = out - y
        slope: Matrix = error * np.float32(2.0 / len(x))
        behind_two: Matrix = (slope @ self._network.last.T) * (two > 0)
        behind_one: Matrix = (behind_two @ self._network.second.T) * (one > 0)
        gradients = (x.T @ behind_one, behind_one.sum(0), one.T @ behind_two, behind_two.sum(0))
        gradients += (two.T @ slope, slope.sum(0), x.T @ slope)
        self._step += 1
        rate = (
            _RATE * min(1.0, self._step / _WARM_UP) * 0.5 * (1.0 + np.cos(np.pi * min(1.0, self._step / self._steps)))
        )
        for name, gradient in zip(_WEIGHTS, gradients, strict=True):
            self._move(name, gradient, rate)
        return float(np.mean(error**2))

    def _move(self, name: str, gradient: Matrix, rate: float) -> None:
        mean, square = self._mean[name], self._square[name]
        mean += (1.0 - _MOMENTUM) * (gradient - mean)
        square += (1.0 - _MEMORY) * (gradient**2 - square)
        step = mean / (1.0 - _MOMENTUM**self._step) / (np.sqrt(square / (1.0 - _MEMORY**self._step)) + 1e-8)
        setattr(self._network, name, (getattr(self._network, name) - rate * step).astype(np.float32))
