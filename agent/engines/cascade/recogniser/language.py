"""A trigram language model of what a caller of one card may say, as ARPA text.

    card's sentences, frames around its topics, phrases of any call ──counts──┐
    English of telephone conversations (english.npz) ──prior──────────────────┴──▶ p(word | two before)

Each order is smoothed into the one below it by Witten and Bell's rule (IEEE Trans. Inf. Theory 37(4), 1991),
``p(w|h) = (c(h w) + k(h) p'(w|h)) / (c(h) + k(h))`` with ``k(h)`` in proportion to the number of different words
seen after ``h``; ``p'`` of the bigram is the prior's bigram where it has one.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from agent.engines.cascade.recogniser.corpus import Line

START, END = "<s>", "</s>"
Gram = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How far the counts are trusted.

    ``unigram`` is the prior's weight against the words counted, in counts; ``bigram`` and ``trigram`` multiply
    the number of different words after a history; ``english`` is the prior's share where bigrams back off.
    """

    unigram: float = 3_000.0
    bigram: float = 4.0
    trigram: float = 4.0
    english: float = 0.8


@dataclass(frozen=True, slots=True)
class English:
    """Words of everyday speech: their probabilities, alone and after another word."""

    unigram: dict[str, float]
    bigram: dict[str, dict[str, float]]


@cache
def english() -> English:
    """Load the general model, drawn from pocketsphinx's own by train_english.py."""
    with (files("agent.engines.cascade.recogniser") / "english.npz").open("rb") as file, np.load(file) as data:
        words = bytes(data["words"]).decode().split("\n")
        ends, starts = [END, *words], [START, *words]
        unigram = dict(zip(ends, np.exp(data["unigram"].astype(float)).tolist(), strict=True))
        bigram: dict[str, dict[str, float]] = defaultdict(dict)
        for (left, right), p in zip(data["pairs"].tolist(), np.exp(data["bigram"].astype(float)).tolist(), strict=True):
            bigram[starts[left]][ends[right]] = p
    return English(unigram, dict(bigram))


class LanguageModel:
    """Counts of weighted sentences, smoothed. ``vocabulary`` holds every word it can recognise."""

    def __init__(self, lines: Iterable[Line], smoothing: Smoothing = Smoothing(), prior: English | None = None) -> None:
        self._smoothing = smoothing
        prior = english() if prior is None else prior
        self._counts: dict[Gram, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for line in lines:
            self._count(line)
        self._totals = {history: sum(after.values()) for history, after in self._counts.items()}
        self._unigram = self._mix_unigrams(prior)
        self._english = self._mix_bigrams(prior)
        self.vocabulary = sorted(word for word in self._unigram if word != END)

    def _count(self, line: Line) -> None:
        tokens = (START, *line.words, END)
        for at in range(1, len(tokens)):
            for history in ((), tokens[at - 1 : at], tokens[max(0, at - 2) : at]):
                if len(history) < 2 or at > 1:
                    self._counts[history][tokens[at]] += line.weight

    def _mix_unigrams(self, prior: English) -> dict[str, float]:
        words = prior.unigram.keys() | self._counts[()].keys()
        floor = min(prior.unigram.values())
        general = {word: prior.unigram.get(word, floor) for word in words}
        scale = self._smoothing.unigram / sum(general.values())
        total = self._totals.get((), 0.0) + self._smoothing.unigram
        seen = self._counts[()]
        return {word: (seen.get(word, 0.0) + scale * p) / total for word, p in general.items()}

    def _mix_bigrams(self, prior: English) -> dict[str, dict[str, float]]:
        share = self._smoothing.english
        return {
            history: {word: share * p for word, p in after.items()}
            for history, after in prior.bigram.items()
            if history == START or history in self._unigram
        }

    def _kept(self, history: Gram) -> float:
        """Weight of the lower order after ``history``, in counts."""
        factor = self._smoothing.bigram if len(history) == 1 else self._smoothing.trigram
        return factor * len(self._counts[history])

    def _backoff(self, history: Gram) -> float:
        """What the next lower order's probabilities are multiplied by, for words not listed after ``history``."""
        total = self._totals.get(history, 0.0)
        left = self._kept(history) / (total + self._kept(history)) if total else 1.0
        if len(history) == 1:
            left *= 1.0 - sum(self._english.get(history[0], {}).values())
        return left

    def probability(self, word: str, history: Sequence[str] = ()) -> float:
        """Return p(word | history); of the history, the last two words count."""
        history = tuple(history[-2:])
        if not history:
            return self._unigram.get(word, 0.0)
        lower = self.probability(word, history[1:])
        if len(history) == 1:
            after = self._english.get(history[0], {})
            lower = after.get(word, 0.0) + (1.0 - sum(after.values())) * lower
        if history not in self._totals:
            return lower
        kept = self._kept(history)
        return (self._counts[history].get(word, 0.0) + kept * lower) / (self._totals[history] + kept)

    def arpa(self) -> str:
        """Return the model in ARPA's format (log10, backoff weights)."""
        bigrams = {(history, *()) for history in self._english} | {h for h in self._counts if len(h) == 1}
        trigrams = [history for history in self._counts if len(history) == 2]
        ones = [f"-99 {START} {_log(self._backoff((START,)))}"]
        ones += [f"{_log(p)} {word} {_log(self._backoff((word,)))}" for word, p in self._unigram.items()]
        twos, threes = [], []
        for history in sorted(bigrams):
            after = self._english.get(history[0], {})
            known = self._counts[history].keys() if history in self._totals else ()
            rest = 1.0 - sum(after.values())
            total, kept = self._totals.get(history, 0.0), self._kept(history) if history in self._totals else 1.0
            for word in sorted({*after, *known}):
                lower = after.get(word, 0.0) + rest * self._unigram[word]
                count = self._counts[history].get(word, 0.0) if total else 0.0
                p = (count + kept * lower) / (total + kept)
                pair = (history[0], word)
                tail = f" {_log(self._backoff(pair))}" if pair in self._totals else ""
                twos.append(f"{_log(p)} {history[0]} {word}{tail}")
        for history in sorted(trigrams):
            words = sorted(self._counts[history])
            threes += [f"{_log(self.probability(word, history))} {' '.join(history)} {word}" for word in words]
        sections = (ones, twos, threes)
        head = ["\\data\\", *(f"ngram {n}={len(grams)}" for n, grams in enumerate(sections, 1))]
        body = [line for n, grams in enumerate(sections, 1) for line in ("", f"\\{n}-grams:", *grams)]
        return "\n".join([*head, *body, "", "\\end\\", ""])


def _log(p: float) -> str:
    return f"{math.log10(max(p, 1e-30)):.4f}"
