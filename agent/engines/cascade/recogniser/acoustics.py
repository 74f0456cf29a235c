"""Which phone does a frame sound like? pocketsphinx's own Gaussians, differentiable, for training and alignment.

    cepstra [T, 13] ─▶ with differences, 3 streams ─▶ 128 Gaussians a phone and stream ─▶ p(frame | phone)

Of the acoustic model only the codebooks are used, one for each of its 42 phones, their Gaussians equally likely.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from agent.engines.cascade.recogniser.frontend import CEPSTRA
from agent.engines.cascade.recogniser.highband import Matrix

_NAMES = """
+NSN+ +SPN+ AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH SIL T TH UH UW V W Y Z ZH
"""
PHONES: tuple[str, ...] = tuple(_NAMES.split())
_DENSITIES, _STATES = 128, 3

# 1s_c_d_dd: the cepstrum, its difference over four frames, and the difference of two such, as frames and signs.
_STREAMS = (((0, 1),), ((2, 1), (-2, -1)), ((3, 1), (-1, -1), (1, -1), (-3, 1)))
_REACH = 3


@dataclass(frozen=True, slots=True)
class _Stream:
    """Gaussians of one stream: [42 · 128, 13], and their constants [42 · 128]."""

    precision: Matrix
    weighted_mean: Matrix
    constant: Matrix


class PhoneModel:
    """The phones of the acoustic model in ``folder``, by default the one that comes with pocketsphinx."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or Path(pocketsphinx.get_model_path("en-us/en-us"))
        means, variances = (_gaussians(folder / name) for name in ("means", "variances"))
        self._streams = []
        for mean, variance in zip(means, np.maximum(variances, 1e-4), strict=True):
            constant = -0.5 * (np.log(2 * np.pi * variance) + mean**2 / variance).sum(axis=-1)
            parts = (
                (1.0 / variance).reshape(-1, CEPSTRA),
                (mean / variance).reshape(-1, CEPSTRA),
                constant.reshape(-1),
            )
            self._streams.append(_Stream(*parts))

    def log_likelihood(self, cepstra: Matrix) -> Matrix:
        """Return [T, 42] log p(frame | phone), but for a constant, of cepstra [T, 13] whose mean was taken off."""
        return self._forward(cepstra)[0]

    def loss(self, cepstra: Matrix, labels: NDArray[np.integer]) -> tuple[float, Matrix]:
        """Return the mean of −log p(label | frame), phones being equally likely, and its gradient [T, 13]."""
        frames, kept = self._forward(cepstra)
        share = np.exp(frames - frames.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        at = np.arange(len(labels))
        loss = -float(np.log(share[at, labels] + 1e-9).mean())
        share[at, labels] -= 1.0
        return loss, self._backward(share / np.float32(len(labels)), kept)

    def align(self, cepstra: Matrix, phones: Sequence[tuple[str, bool]]) -> NDArray[np.int64]:
        """Return the phone of each frame, [T], where ``phones`` are spoken in order; those marked may be left out.

        The best path by Viterbi's rule; a phone lasts three frames at least. The first and the last phone must
        be marked. ``T`` must suffice for all that are not.
        """
        spoken = np.array([PHONES.index(phone) for phone, _ in phones])
        optional = np.array([left_out for _, left_out in phones])
        frames = self.log_likelihood(cepstra)[:, spoken]
        best = np.full((len(spoken), _STATES), -np.inf)
        best[:2, 0] = frames[0, :2]
        came = np.zeros((len(frames), len(spoken), _STATES), np.int8)
        for now in range(1, len(frames)):
            before = np.concatenate([[-np.inf], best[:-1, -1]])
            skipped = np.concatenate([[-np.inf, -np.inf], np.where(optional[1:-1], best[:-2, -1], -np.inf)])
            entering = np.stack([best[:, 0], before, skipped])
            inside = np.stack([best[:, 1:], best[:, :-1]])
            came[now, :, 0], came[now, :, 1:] = entering.argmax(axis=0), inside.argmax(axis=0)
            best = np.concatenate([entering.max(axis=0)[:, None], inside.max(axis=0)], axis=1) + frames[now][:, None]
        return spoken[_trace(came, len(spoken) - 1 - int(best[-2].max() > best[-1].max()), best)]

    def _forward(self, cepstra: Matrix) -> tuple[Matrix, list[tuple[Matrix, Matrix]]]:
        padded = np.pad(cepstra, ((_REACH, _REACH), (0, 0)), mode="edge").astype(np.float32)
        frames, kept = np.zeros((len(cepstra), len(PHONES)), np.float32), []
        for stream, parts in zip(self._streams, _STREAMS, strict=True):
            x = np.zeros(cepstra.shape, np.float32)
            for at, sign in parts:
                x += sign * padded[_REACH + at : _REACH + at + len(x)]
            density = x @ stream.weighted_mean.T - 0.5 * ((x * x) @ stream.precision.T) + stream.constant
            density = density.reshape(len(x), len(PHONES), _DENSITIES)
            top = density.max(axis=2, keepdims=True)
            density = np.exp(density - top)
            total = density.sum(axis=2, keepdims=True)
            frames += (np.log(total) + top)[..., 0]
            kept.append((x, density / total))
        return frames, kept

    def _backward(self, slope: Matrix, kept: list[tuple[Matrix, Matrix]]) -> Matrix:
        """Return the gradient by cepstra, [T, 13], from that by phones, [T, 42]."""
        count = len(slope)
        padded = np.zeros((count + 2 * _REACH, CEPSTRA), np.float32)
        for stream, parts, (x, share) in zip(self._streams, _STREAMS, kept, strict=True):
            weights = (share * slope[..., None]).reshape(count, -1)
            by_x = weights @ stream.weighted_mean - x * (weights @ stream.precision)
            for at, sign in parts:
                padded[_REACH + at : _REACH + at + count] += sign * by_x
        padded[_REACH] += padded[:_REACH].sum(axis=0)
        padded[-_REACH - 1] += padded[-_REACH:].sum(axis=0)
        return padded[_REACH:-_REACH]


def _trace(came: NDArray[np.int8], phone: int, best: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the place in the sequence of each frame, walking back from the end of ``phone``."""
    state = int(best[phone].argmax())
    path = np.zeros(len(came), np.int64)
    for now in range(len(came) - 1, -1, -1):
        path[now] = phone
        step = int(came[now, phone, state])
        if state:
            state -= step
        elif step:
            phone, state = phone - step, _STATES - 1
    return path


def _gaussians(path: Path) -> NDArray[np.float32]:
    """Read means or variances: [3 streams, 42, 128, 13]. A text header, then a byte order mark, sizes and floats."""
    raw = path.read_bytes()
    begin = raw.index(b"endhdr\n") + 7
    order = "<" if raw[begin : begin + 4] == b"\x44\x33\x22\x11" else ">"
    codebooks, streams, densities = np.frombuffer(raw, f"{order}i4", 3, begin + 4)
    values = np.frombuffer(raw, f"{order}f4", codebooks * streams * densities * CEPSTRA, begin + 20 + 4 * streams)
    shaped = values.reshape(codebooks, streams, densities, CEPSTRA).astype(np.float32)
    return shaped.transpose(1, 0, 2, 3)
