"""Draw the everyday part of pocketsphinx's general language model: frequent words, and telling runs of them.

Run ``python -m agent.engines.cascade.recogniser.train_english``: four minutes; writes english.npz. The model is
that of CMU Sphinx (BSD licence), counted on transcribed conversations and talks.
"""

import argparse
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from agent.engines.cascade.recogniser.language import END, START

_MOST_AFTER = 1_000
_LEAST_GAIN = 0.45
"""A word is listed after others where it is at least e^0.45 times likelier than the shorter history says."""
_START_LOG = -2.5
"""Logarithm of how often a sentence begins, in words."""
# Callers may swear, and phrases.py knows how they do; but noise must not be taken for it.
_LEFT_OUT = re.compile(r"fuck|shit|bitch|cunt|nigg|whore|porn|dick\b|pussy|asshole|bastard|slut")


class General:
    """Natural logarithms of pocketsphinx's probabilities."""

    def __init__(self) -> None:
        folder = Path(pocketsphinx.get_model_path("en-us"))
        self._step = math.log(1.0001)
        config = pocketsphinx.Config(lw=1.0, wip=1.0, uw=1.0)
        self._model = pocketsphinx.NGramModel(config, pocketsphinx.LogMath(), str(folder / "en-us.lm.bin"))
        lines = (folder / "cmudict-en-us.dict").read_text(encoding="utf-8").splitlines()
        self.known = [word for line in lines if re.fullmatch(r"[a-z][a-z']*", word := line.split(" ", 1)[0])]

    def log_probability(self, word: str, *before: str) -> float:
        """Return log p(word | before), the word before it first."""
        return self._model.prob([word, *before]) * self._step


@dataclass(frozen=True, slots=True)
class Run:
    """A word after others, by their places in the lists of words; ``told`` is what listing it tells, in nats."""

    told: float
    places: tuple[int, ...]
    log_p: float


class Drawing:
    """The ``words`` most frequent words, and what follows them."""

    def __init__(self, words: int) -> None:
        self._general = General()
        usable = [
            word for word in self._general.known if (len(word) > 1 or word in "ai") and not _LEFT_OUT.search(word)
        ]
        self.words = sorted(usable, key=lambda word: (-self._general.log_probability(word), word))[: words - 1]
        self._ends, self._starts = [END, *self.words], [START, *self.words]
        self.alone = self._after()

    def _after(self, *before: str) -> NDArray[np.float64]:
        return np.array([self._general.log_probability(word, *before) for word in self._ends])

    def _often(self, start: int) -> float:
        return _START_LOG if start == 0 else float(self.alone[start])

    def pairs(self, count: int) -> list[Run]:
        """Return the ``count`` pairs that tell most."""
        found: list[Run] = []
        for left, before in enumerate(self._starts):
            found += _telling((left,), self._often(left), self._after(before), self.alone)
        return _best(found, count)

    def triples(self, pairs: Sequence[Run], count: int) -> list[Run]:
        """Return the ``count`` words after ``pairs`` that tell most."""
        after = cache(self._after)
        found: list[Run] = []
        for pair in pairs:
            left, middle = pair.places
            if middle:
                first, second = self._starts[left], self._ends[middle]
                often = self._often(left) + pair.log_p
                found += _telling(pair.places, often, self._after(second, first), after(second))
        return _best(found, count)


def _telling(
    places: tuple[int, ...], often: float, log_p: NDArray[np.float64], shorter: NDArray[np.float64]
) -> Iterator[Run]:
    """Yield what tells much: p(history) p(word | history) log p(word | history) / p(word | shorter history)."""
    told = np.exp(often + log_p) * (log_p - shorter)
    for word in np.argsort(-told)[:_MOST_AFTER].tolist():
        if log_p[word] - shorter[word] > _LEAST_GAIN:
            yield Run(float(told[word]), (*places, word), float(log_p[word]))


def _best(runs: list[Run], count: int) -> list[Run]:
    return sorted(runs, key=lambda run: (-run.told, run.places))[:count]


def draw(words: int, pairs: int, triples: int) -> dict[str, Any]:
    """Return the arrays of english.npz: see language.english, which reads them."""
    drawing = Drawing(words)
    twos = drawing.pairs(pairs)
    threes = drawing.triples(twos[: pairs // 3], triples)
    return {
        "words": np.array("\n".join(drawing.words).encode()),
        "unigram": drawing.alone.astype(np.float16),
        "pairs": np.array([run.places for run in twos], np.uint16),
        "bigram": np.array([run.log_p for run in twos], np.float16),
        "triples": np.array([run.places for run in threes], np.uint16),
        "trigram": np.array([run.log_p for run in threes], np.float16),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the everyday part of pocketsphinx's general language model.")
    parser.add_argument("--words", type=int, default=5_000, help="how many words (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=100_000, help="how many pairs (default: %(default)s)")
    parser.add_argument("--triples", type=int, default=60_000, help="how many runs of three (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("english.npz"), help="file to write")
    chosen = parser.parse_args()
    np.savez_compressed(chosen.out, **draw(chosen.words, chosen.pairs, chosen.triples))


if __name__ == "__main__":
    main()
