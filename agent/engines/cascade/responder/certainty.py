"""How sure it is that a card's likeliest entry answers what was asked: a logistic of evidence and its squares.

The ranking tells entries apart; whether the best of them is good enough is another question, with other
evidence: how far it leads, how much of the utterance it accounts for, how close the rest of the card is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.engines.cascade.responder.index import FEATURES, NONE_FEATURES

OWN = ("ask", "say", "topic", "all", "near", "words", "focus", "kind", "rule")
EVIDENCE = (
    *OWN,  # the features of the entry, see index
    "lead",  # utility over the next entry of the card
    "lead_all",  # the same in the cosine to all it holds
    "length",  # logarithm of the number of words, plus one
    "card_say",  # highest cosine to any answer of the card
    "card_topic",  # highest cosine to any topic of the card
    "strange",  # share of telling words that are not on the card
    "elsewhere",  # highest cosine to what callers ask elsewhere
    "own",  # cosine to the nearest sample question, less "elsewhere"
    "card_all",  # mean cosine to the card's entries
    "card_asks",  # mean cosine to the sample questions of the four nearest entries
)
_OWN = [FEATURES.index(name) for name in OWN]
_ALL, _ASK, _ACT = (FEATURES.index(name) for name in ("all", "ask", "act"))
_CARD = [NONE_FEATURES.index(name) for name in ("say", "topic", "strange", "elsewhere")]


def evidence(
    features: NDArray[np.float64], none: NDArray[np.float64], utilities: NDArray[np.float64], words: int
) -> NDArray[np.float64]:
    """Return [EVIDENCE] for the card's likeliest entry.

    Args:
        features: [entries, FEATURES], dialogue acts included; at least two entries are no acts.
        none: [NONE_FEATURES].
        utilities: [entries], what the ranking makes of ``features``.
        words: number of words said.
    """
    card = features[:, _ACT] == 0
    own, ranked = features[card], utilities[card].argsort()[::-1]
    best, second = ranked[0], ranked[min(1, len(ranked) - 1)]
    lead = utilities[card][best] - utilities[card][second]
    return np.array(
        [
            *own[best, _OWN],
            lead,
            own[best, _ALL] - own[second, _ALL],
            np.log(words + 1),
            *none[_CARD],
            own[best, _ASK] - none[_CARD[-1]],
            own[:, _ALL].mean(),
            np.sort(own[:, _ASK])[-4:].mean(),
        ]
    )


@dataclass(frozen=True, slots=True)
class Certainty:
    """The fitted logistic: ``mean`` and ``scale`` [EVIDENCE], ``weights`` [1 + 2 · EVIDENCE]."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]

    def logit(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logit that the entry is meant, [n], for evidence [n, EVIDENCE] or [EVIDENCE]."""
        return self.inputs(found) @ self.weights

    def inputs(self, found: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return 1, the standardised evidence within ±3, and its squares: [n, 1 + 2 · EVIDENCE]."""
        scaled = np.clip((np.atleast_2d(found) - self.mean) / self.scale, -3, 3)
        return np.hstack([np.ones((len(scaled), 1)), scaled, scaled**2])
