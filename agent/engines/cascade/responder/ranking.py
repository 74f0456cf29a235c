"""The choice among a card's entries, dialogue acts and "nothing on the card", with fitted weights.

    features ─▶ conditional logit ─┬─ an act is likeliest ─▶ the act, or nothing
                                   └─ an entry of the card ─▶ certainty ─▶ the entry, or nothing

P(entry | utterance) ∝ exp(w · features), against exp(v · none features) for nothing (McFadden 1974). The
weights in weights.json are fitted and measured by ``calibrate``; see there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.engines.cascade.responder.certainty import Certainty, evidence
from agent.engines.cascade.responder.index import FEATURES, NONE_FEATURES, CardIndex, Query
from agent.engines.cascade.responder.words import split_words

_ACT = FEATURES.index("act")


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights by feature, [FEATURES], of "nothing on the card", [NONE_FEATURES], and of the certainty."""

    entry: NDArray[np.float64]
    none: NDArray[np.float64]
    certainty: Certainty


@cache
def fitted() -> Weights:
    """Read the weights that come with the package."""
    table = json.loads((Path(__file__).parent / "weights.json").read_text())
    certainty = table["certainty"]
    return Weights(
        np.array([table["entry"][name] for name in FEATURES]),
        np.array([table["none"][name] for name in NONE_FEATURES]),
        Certainty(*(np.array(certainty[name]) for name in ("mean", "scale", "weights"))),
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """How likely each entry is meant and that none is (``nothing``), summing to 1; ``best`` is None for none."""

    chances: NDArray[np.float64]
    nothing: float
    best: int | None

    def rival(self, least: float) -> int | None:
        """Return the row of the second likeliest entry, if ``least`` times as likely as the best or more."""
        first, second = self.chances.argsort()[-1:-3:-1]
        enough = max(least * self.chances[first], self.nothing)
        return int(second) if self.chances[second] >= enough else None


def rank(index: CardIndex, readings: Sequence[Query], weights: Weights) -> Ranking:
    """Rank the entries for one utterance, given in one or several ``readings``."""
    utilities, certain = [], []
    acts = np.zeros(0)
    for query in readings:
        entries, none = index.features(query)
        acts = entries[:, _ACT]
        values = entries @ weights.entry
        found = evidence(entries, none, values, len(split_words(query.text)))
        certain.append(float(weights.certainty.logit(found)[0]) - query.doubt)
        utilities.append(np.append(values, none @ weights.none) - query.doubt)
    total = np.logaddexp.reduce(np.array(utilities), axis=0)
    return decide(total, acts, max(certain))


def decide(utilities: NDArray[np.float64], acts: NDArray[np.float64], certain: float) -> Ranking:
    """Choose from ``utilities`` [entries + 1], the last for nothing; ``acts`` [entries] is 1 for dialogue acts."""
    chances = np.exp(utilities - np.logaddexp.reduce(utilities))
    best: int | None = int(chances[:-1].argmax())
    if acts[best] and chances[best] < chances[-1]:
        best = None
    elif not acts[best] and certain < 0:
        act = int((chances[:-1] * acts).argmax())
        best = act if acts[act] and chances[act] > chances[-1] else None
    return Ranking(chances[:-1], float(chances[-1]), best)
