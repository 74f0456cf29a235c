"""A trigram language model of what a caller of one card may say, as ARPA text.

    card's sentences, frames around its topics, phrases of any call ──counts──┐
    English of telephone conversations (english.npz) ──prior──────────────────┴──▶ p(word | two before)

Each order is smoothed into the one below it by Witten and Bell's rule (IEEE Trans. Inf. Theory 37(4), 1991),
``p(w|h) = (c(h w) + k(h) p'(w|h)) / (c(h) + k(h))`` with ``k(h)`` in proportion to the number of different words
seen after ``h``; ``p'`` mixes what the prior lists after ``h`` with the next lower order.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    the number of different words after a history; ``english`` is the prior's share after histories it knows.
    """

    unigram: float = 3_000.0
    bigram: float = 4.0
    trigram: float = 8.0
    english: float = 0.8


@dataclass(frozen=True, slots=True)
class English:
    """Words of everyday speech: their probabilities alone, and after one or two words where those tell more."""

    alone: dict[str, float]
    after: dict[Gram, dict[str, float]]


@cache
def english() -> English:
    """Load the general model, drawn from pocketsphinx's own by train_english.py."""
    with (files("agent.engines.cascade.recogniser") / "english.npz").open("rb") as file, np.load(file) as data:
        words = bytes(data["words"]).decode().split("\n")
        ends, starts = [END, *words], [START, *words]
        alone = dict(zip(ends, np.exp(data["unigram"].astype(float)).tolist(), strict=True))
        after: dict[Gram, dict[str, float]] = defaultdict(dict)
        for (left, right), p in zip(data["pairs"].tolist(), np.exp(data["bigram"].astype(float)).tolist(), strict=True):
            after[(starts[left],)][ends[right]] = p
        triples = zip(data["triples"].tolist(), np.exp(data["trigram"].astype(float)).tolist(), strict=True)
        for (left, middle, right), p in triples:
            after[starts[left], ends[middle]][ends[right]] = p
    return English(alone, dict(after))


class LanguageModel:
    """Counts of weighted sentences, smoothed. ``vocabulary`` holds every word it can recognise."""

    def __init__(self, lines: Iterable[Line], smoothing: Smoothing | None = None, prior: English | None = None) -> None:
        self._smoothing = smoothing or Smoothing()
        prior = prior or english()
        self._counts: dict[Gram, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for line in lines:
            self._count(line)
        self._totals = {history: sum(after.values()) for history, after in self._counts.items()}
        self._alone = self._mix(prior.alone)
        share = self._smoothing.english
        self._prior = {h: {word: share * p for word, p in after.items()} for h, after in prior.after.items()}
        self._left = {history: 1.0 - sum(after.values()) for history, after in self._prior.items()}
        self.vocabulary = sorted(word for word in self._alone if word != END)

    def _count(self, line: Line) -> None:
        tokens = (START, *line.words, END)
        for at in range(1, len(tokens)):
            for history in ((), tokens[at - 1 : at], tokens[max(0, at - 2) : at]):
                if len(history) < 2 or at > 1:
                    self._counts[history][tokens[at]] += line.weight

    def _mix(self, prior: Mapping[str, float]) -> dict[str, float]:
        """Return p(word) of every word the prior or the sentences have."""
        seen = self._counts[()]
        floor = min(prior.values())
        general = {word: prior.get(word, floor) for word in {**prior, **seen}}
        scale = self._smoothing.unigram / sum(general.values())
        total = self._totals.get((), 0.0) + self._smoothing.unigram
        return {word: (seen.get(word, 0.0) + scale * p) / total for word, p in general.items()}

    def _kept(self, history: Gram) -> float:
        """Weight of what lies below the counts after ``history``, in counts."""
        factor = self._smoothing.bigram if len(history) == 1 else self._smoothing.trigram
        return factor * len(self._counts[history])

    def _backoff(self, history: Gram) -> float:
        """What the next lower order's probabilities are multiplied by, for words not listed after ``history``."""
        if history not in self._totals:
            return self._left.get(history, 1.0)
        kept = self._kept(history)
        return kept / (self._totals[history] + kept) * self._left.get(history, 1.0)

    def probability(self, word: str, history: Sequence[str] = ()) -> float:
        """Return p(word | history); of the history, the last two words count."""
        history = tuple(history[-2:])
        if not history:
            return self._alone.get(word, 0.0)
        p = self.probability(word, history[1:])
        if history in self._prior:
            p = self._prior[history].get(word, 0.0) + self._left[history] * p
        if history in self._totals:
            kept = self._kept(history)
            p = (self._counts[history].get(word, 0.0) + kept * p) / (self._totals[history] + kept)
        return p

    def arpa(self) -> str:
        """Return the model in ARPA's format (log10, backoff weights)."""
        sections: tuple[list[str], ...] = ([f"-99 {START} {_log(self._backoff((START,)))}"], [], [])
        sections[0].extend(f"{_log(p)} {word} {_log(self._backoff((word,)))}" for word, p in self._alone.items())
        known = {history for history in {**self._prior, **self._totals} if history}
        for history in sorted(known, key=lambda history: (len(history), history)):
            words = {**self._prior.get(history, {}), **(self._counts[history] if history in self._totals else {})}
            for word in sorted(words):
                gram = (*history, word)
                tail = f" {_log(self._backoff(gram))}" if gram in known else ""
                sections[len(history)].append(f"{_log(self.probability(word, history))} {' '.join(gram)}{tail}")
        head = ["\\data\\", *(f"ngram {n}={len(grams)}" for n, grams in enumerate(sections, 1))]
        body = [line for n, grams in enumerate(sections, 1) for line in ("", f"\\{n}-grams:", *grams)]
        return "\n".join([*head, *body, "", "\\end\\", ""])


def _log(p: float) -> str:
    return f"{math.log10(max(p, 1e-30)):.4f}"
