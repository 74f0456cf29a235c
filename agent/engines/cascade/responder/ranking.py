"""The choice among a card's entries and "nothing on the card": a conditional logit with fitted weights.

P(entry | utterance) ∝ exp(w · features), against exp(v · none features) for "nothing on the card"
(McFadden 1974). The weights in weights.json are fitted and measured by ``calibrate``; see there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.engines.cascade.responder.index import FEATURES, NONE_FEATURES, CardIndex, Query


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights by feature, [FEATURES], and of "nothing on the card", [NONE_FEATURES]."""

    entry: NDArray[np.float64]
    none: NDArray[np.float64]


@cache
def fitted() -> Weights:
    """Read the weights that come with the package."""
    table = json.loads((Path(__file__).parent / "weights.json").read_text())
    return Weights(
        np.array([table["entry"][name] for name in FEATURES]), np.array([table["none"][name] for name in NONE_FEATURES])
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """How likely each entry is meant, [entries] summing to 1 - ``nothing``, and that it is none of them."""

    chances: NDArray[np.float64]
    nothing: float

    def rival(self, least: float) -> int | None:
        """Return the row of the second likeliest entry, if ``least`` times as likely as the best or more."""
        first, second = self.chances.argsort()[-1:-3:-1]
        enough = max(least * self.chances[first], self.nothing)
        return int(second) if self.chances[second] >= enough else None

    @property
    def best(self) -> int | None:
        """The row of the likeliest entry; None when "nothing on the card" is likelier than each of them."""
        row = int(self.chances.argmax())
        return row if self.chances[row] > self.nothing else None


def rank(index: CardIndex, readings: Sequence[Query], weights: Weights) -> Ranking:
    """Rank the entries for one utterance, given in one or several ``readings``."""
    utilities = []
    for query in readings:
        entries, none = index.features(query)
        both = np.append(entries @ weights.entry, none @ weights.none)
        utilities.append(both - query.doubt)
    total = np.logaddexp.reduce(np.array(utilities), axis=0)
    chances = np.exp(total - np.logaddexp.reduce(total))
    return Ranking(chances[:-1], float(chances[-1]))
