"""Fit the high band's network in NumPy: first to wide cepstra, then to what the acoustic model can tell apart.

    utterances ─▶ least squares, frame by frame ─▶ cross entropy of phones, utterance by utterance ─▶ HighBand

Both descend by Adam (Kingma and Ba, ICLR 2015); the rate rises at first, then falls along half a cosine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.engines.cascade.recogniser.acoustics import PhoneModel
from agent.engines.cascade.recogniser.highband import HighBand, Matrix, blank, context

_BATCH = 512
_WARM_UP = 200
_MOMENTUM, _MEMORY = 0.9, 0.999
_WEIGHTS = ("first", "first_bias", "second", "second_bias", "last", "last_bias", "linear")

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Utterance:
    """``narrow``: what the phone brings, [T, 19] in several noises; ``wide`` [T, 13]; ``phones`` [T] of acoustics."""

    narrow: tuple[Matrix, ...]
    wide: Matrix
    phones: NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the network is fitted.

    ``epochs`` of the first part, ``steps`` utterances of the second; either may be 0. ``anchor`` is the weight of
    the squares in the second part, ``trust`` the share of the weights after it against those before it, which know
    less of the synthetic voices.
    """

    reach: int = 8
    hidden: int = 320
    epochs: int = 6
    rate: float = 1e-3
    steps: int = 3_200
    second_rate: float = 4e-4
    anchor: float = 0.1
    trust: float = 0.6


class Trainer:
    """A network whose outputs are in units of ``spread`` [13] while it is fitted."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        plan: Plan,
        rng: np.random.Generator,
        report: Report,
        begun: HighBand | None = None,
    ) -> None:
        """Fit a new network, or go on with one that was ``begun``, which is changed."""
        self._utterances, self._plan, self._rng, self._report = utterances, plan, rng, report
        self._spread = np.concatenate([utterance.wide for utterance in utterances]).std(axis=0)
        self._network = begun or self._blank()
        if begun is not None:
            self._in_units_of(1.0 / self._spread)

    def run(self) -> HighBand:
        if self._plan.epochs:
            self._match()
        network = self._network
        before = {name: getattr(network, name).copy() for name in _WEIGHTS}
        if self._plan.steps:
            self._tell_apart(PhoneModel())
        for name in _WEIGHTS:
            after = getattr(network, name)
            setattr(network, name, before[name] + np.float32(self._plan.trust) * (after - before[name]))
        self._in_units_of(self._spread)
        return network

    def _blank(self) -> HighBand:
        everything = np.concatenate([narrow for utterance in self._utterances for narrow in utterance.narrow])
        mean, scale = everything.mean(axis=0), 1.0 / everything.std(axis=0)
        return blank(mean, scale, self._plan.reach, self._plan.hidden, self._rng)

    def _in_units_of(self, factor: Matrix) -> None:
        for name in ("last", "last_bias", "linear"):
            setattr(self._network, name, getattr(self._network, name) * factor)

    def _match(self) -> None:
        """Fit single frames to wide cepstra by least squares."""
        inputs, at, targets = self._frames()
        offsets = np.arange(2 * self._plan.reach + 1)
        adam = _Adam(self._network, self._plan.epochs * (len(at) // _BATCH), self._plan.rate)
        for epoch in range(self._plan.epochs):
            order, left = self._rng.permutation(len(at)), []
            for begin in range(0, len(order) - _BATCH + 1, _BATCH):
                batch = order[begin : begin + _BATCH]
                x = inputs[at[batch][:, None] + offsets].reshape(_BATCH, -1)
                one, two, out = self._network.layers(x)
                error = out - targets[batch]
                adam.step(x, one, two, error * np.float32(2.0 / _BATCH))
                left.append(np.mean(error**2))
            self._report(f"epoch {epoch + 1}: {np.mean(left):.4f} of the variance left")

    def _frames(self) -> tuple[Matrix, NDArray[np.int64], Matrix]:
        """Return all utterances end to end with copies of their ends around each, where frames are, and targets."""
        reach, padded, at, targets, start = self._plan.reach, [], [], [], 0
        for utterance in self._utterances:
            for narrow in utterance.narrow:
                padded.append(np.pad(self._scaled(narrow), ((reach, reach), (0, 0)), mode="edge"))
                at.append(start + np.arange(len(narrow)))
                targets.append(utterance.wide / self._spread)
                start += len(padded[-1])
        return np.concatenate(padded), np.concatenate(at), np.concatenate(targets)

    def _scaled(self, narrow: Matrix) -> Matrix:
        return (narrow - self._network.mean) * self._network.scale

    def _tell_apart(self, model: PhoneModel) -> None:
        """Go on with whole utterances, so that the acoustic model finds their phones; stay near wide cepstra."""
        adam = _Adam(self._network, self._plan.steps, self._plan.second_rate)
        losses = []
        for step in range(1, self._plan.steps + 1):
            utterance = self._utterances[int(self._rng.integers(len(self._utterances)))]
            narrow = utterance.narrow[int(self._rng.integers(len(utterance.narrow)))]
            x = context(self._scaled(narrow), self._plan.reach)
            one, two, out = self._network.layers(x)
            out = out - out.mean(axis=0)
            loss, slope = model.loss(out * self._spread, utterance.phones)
            error = out - utterance.wide / self._spread
            slope = slope * self._spread + self._plan.anchor * 2.0 / len(x) * error
            adam.step(x, one, two, (slope - slope.mean(axis=0)).astype(np.float32))
            losses.append(loss)
            if step % 500 == 0:
                self._report(f"step {step}: {np.mean(losses[-500:]):.3f} nats a frame")


class _Adam:
    def __init__(self, network: HighBand, steps: int, rate: float) -> None:
        self._network, self._steps, self._rate, self._step = network, steps, rate, 0
        self._mean = {name: np.zeros_like(getattr(network, name)) for name in _WEIGHTS}
        self._square = {name: np.zeros_like(getattr(network, name)) for name in _WEIGHTS}

    def step(self, x: Matrix, one: NDArray, two: NDArray, slope: NDArray) -> None:
        """Move against the gradient; ``slope`` [T, 13] is that by the outputs, the others the layers' values."""
        behind_two = (slope @ self._network.last.T) * (two > 0)
        behind_one = (behind_two @ self._network.second.T) * (one > 0)
        gradients = (x.T @ behind_one, behind_one.sum(0), one.T @ behind_two, behind_two.sum(0))
        gradients += (two.T @ slope, slope.sum(0), x.T @ slope)
        self._step += 1
        fall = 0.5 * (1.0 + np.cos(np.pi * min(1.0, self._step / self._steps)))
        rate = self._rate * min(1.0, self._step / _WARM_UP) * fall
        for name, gradient in zip(_WEIGHTS, gradients, strict=True):
            self._move(name, gradient, rate)

    def _move(self, name: str, gradient: NDArray, rate: float) -> None:
        mean, square = self._mean[name], self._square[name]
        mean += (1.0 - _MOMENTUM) * (gradient - mean)
        square += (1.0 - _MEMORY) * (gradient**2 - square)
        step = mean / (1.0 - _MOMENTUM**self._step) / (np.sqrt(square / (1.0 - _MEMORY**self._step)) + 1e-8)
        setattr(self._network, name, (getattr(self._network, name) - rate * step).astype(np.float32))
