"""Fit and measure the weights of the ranking on cards' own sample questions; prints both.

    python -m agent.engines.cascade.responder.calibrate personas/library/*.yaml [--write]

Kinds of trial:

- *known*: a sample question of a fact or rule, left out of its card; right is that entry.
- *near*: the same with the question left in, for callers do ask in the foreseen words.
- *lacking*: the same on a card that lacks the whole fact; right is "nothing on the card". Harder than most
  questions a card can't answer, for what is left is often about the same thing.
- *foreign*: a question of another card that is not much like any of this one's; right is "nothing on the card".
- *unanswerable*: a question that somebody wrote for a card because the card does not answer it
  (unanswerable.yaml); right is "nothing on the card".
- *act*: a sample phrase of a dialogue act, left out; right is that act.

Trials are done with the words as they are or with 10 % or 20 % of them replaced by words of the card that
sound alike, replaced at random or dropped, as a recogniser does. The weights maximise the likelihood of the
right choices with a small penalty on their squares (L-BFGS-B); the kinds weigh as SHARES says, and evidence for
an entry never counts against it. The figures are from weights fitted without the card they are measured on.
Test questions of the cards are not read.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.optimize import minimize

from agent.duplex import CardFact, CardRule, RoleCard
from agent.engines.cascade import elsewhere
from agent.engines.cascade.responder import surface
from agent.engines.cascade.responder.certainty import EVIDENCE, Certainty, evidence
from agent.engines.cascade.responder.encoder import Vector
from agent.engines.cascade.responder.index import (
    ACT,
    FACT,
    FEATURES,
    NONE_FEATURES,
    CardIndex,
    Entry,
    Query,
    entries_of,
)
from agent.engines.cascade.responder.ranking import decide
from agent.engines.cascade.responder.sentence_model import SentenceModel, model_folder
from agent.engines.cascade.responder.words import COMMON, sound, split_words

ERROR_RATES = (0.0, 0.0, 0.1, 0.2)
"""One of these for each sample question, by lot."""
PENALTY = 2e-4
CERTAINTY_PENALTY = 1e-3
FREE = frozenset({"rule", "act", "act_long", "off_topic", "rude", "bias"})
"""Weights that may be negative: how common a choice is, not evidence for it."""

SHARES = {"known": 1.0, "near": 0.3, "lacking": 0.1, "foreign": 0.1, "unanswerable": 1.2, "act": 0.4}
"""How much the trials of a kind weigh: one caller in four asks what no card answers, and to be told something else
costs three times what it costs to be told that the agent does not know."""
ACTS_SHARE = 0.4
"""Of the acts' phrases, how many are tried on each card."""
FOREIGN_PER_CARD = 4
FOREIGN_LIKENESS = 0.6
"""Cosine to a card's own sample question above which another card's question may be answered by it, too."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice: utilities are made from ``features`` [entries, F] and ``none`` [N]; ``right`` is -1 for none."""

    card: int
    kind: str
    features: NDArray[np.float64]
    none: NDArray[np.float64]
    right: int
    words: int


def read_card(path: Path) -> RoleCard:
    """Read a library file as engines see it, without its test questions."""
    data = yaml.safe_load(path.read_text())
    facts = [
        CardFact(
            part["id"], part["topic"], part["kind"], str(part["value"]), part["say"],
            questions=_texts(part, "questions"), keywords=_texts(part, "keywords"),
        )
        for part in data["facts"]
    ]  # fmt: skip
    rules = [
        CardRule(
            part["id"], part["kind"], part["text"], part.get("say", ""),
            questions=_texts(part, "questions"), forbidden_phrases=_texts(part, "forbidden_phrases"),
        )
        for part in data.get("rules", ())
    ]  # fmt: skip
    agent = data["agent"]
    greeting, unknown, off_topic, rude, closing = (
        str(data[name]) for name in ("greeting", "unknown_say", "off_topic_say", "rude_say", "closing_say")
    )
    return RoleCard(
        agent["name"], agent["company"], agent["role"], greeting, unknown, off_topic, rude, closing,
        facts=tuple(facts), rules=tuple(rules), keywords=_texts(data, "keywords"),
    )  # fmt: skip


def _texts(part: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(str(text) for text in part.get(name, ()))


def misheard(text: str, rate: float, vocabulary: Sequence[str], chance: random.Random) -> str:
    """Return ``text`` with about ``rate`` of its words changed: half by likeness of sound, a quarter dropped."""
    words = []
    for word in split_words(text):
        if chance.random() >= rate:
            words.append(word)
            continue
        fate = chance.random()
        if fate < 0.5:
            alike = [other for other in vocabulary if other != word and sound(other)[:2] == sound(word)[:2]]
            words.append(chance.choice(alike or list(vocabulary)))
        elif fate < 0.75:
            words.append(chance.choice(list(vocabulary)))
    return " ".join(words) or text


def vocabulary_of(entries: Sequence[Entry]) -> list[str]:
    """Return the words a card's recogniser knows, sorted."""
    texts = [text for entry in entries for text in (*entry.texts, *entry.keywords)]
    return sorted({word for text in texts for word in split_words(text) if word.isalpha()} | COMMON)


class Encoded(dict[str, Vector]):
    """Vectors by text, computed when first asked for."""

    def __init__(self) -> None:
        self._model = SentenceModel(model_folder())

    def __missing__(self, text: str) -> Vector:
        self[text] = self._model.encode([text])[0]
        return self[text]

    def learn(self, texts: Sequence[str]) -> None:
        for start in range(0, len(new := sorted({*texts} - self.keys())), 64):
            self.update(zip(new[start : start + 64], self._model.encode(new[start : start + 64]), strict=True))


def trials(number: int, cards: Sequence[RoleCard], never: Sequence[str], encoded: Encoded) -> Iterator[Trial]:
    """Yield the trials of one card, which answers none of ``never``."""
    entries = entries_of(cards[number])
    encoded.learn([*(text for entry in entries for text in entry.texts), *elsewhere.questions()])
    chance = random.Random(number)  # noqa: S311 - repeatable, no secret
    vocabulary = vocabulary_of(entries)
    whole = CardIndex(entries, encoded)
    for row, entry in enumerate(entries):
        lacking = CardIndex((*entries[:row], *entries[row + 1 :]), encoded)
        for ask in entry.asks:
            if entry.family == ACT and chance.random() > ACTS_SHARE:
                continue
            rest = replace(entry, asks=tuple(other for other in entry.asks if other != ask))
            without = CardIndex((*entries[:row], rest, *entries[row + 1 :]), encoded)
            query = _query(misheard(ask, chance.choice(ERROR_RATES), vocabulary, chance), encoded)
            words = len(split_words(query.text))
            if entry.family == ACT:
                yield Trial(number, "act", *without.features(query), row, words)
                continue
            yield Trial(number, "known", *without.features(query), row, words)
            yield Trial(number, "near", *whole.features(query), row, words)
            if entry.family == FACT:
                yield Trial(number, "lacking", *lacking.features(query), -1, words)
    yield from _unanswerable(number, cards, never, whole, vocabulary, encoded)


def _unanswerable(
    number: int,
    cards: Sequence[RoleCard],
    never: Sequence[str],
    whole: CardIndex,
    vocabulary: Sequence[str],
    encoded: Encoded,
) -> Iterator[Trial]:
    chance = random.Random(number)  # noqa: S311 - repeatable, no secret
    for ask in never:
        for rate in sorted({*ERROR_RATES}):
            query = _query(misheard(ask, rate, vocabulary, chance), encoded)
            yield Trial(number, "unanswerable", *whole.features(query), -1, len(split_words(query.text)))
    for card in (*cards[:number], *cards[number + 1 :]):
        for fact in chance.sample(card.facts, min(FOREIGN_PER_CARD, len(card.facts))):
            query = _query(chance.choice(fact.questions or (fact.topic,)), encoded)
            if whole.likeness(query) < FOREIGN_LIKENESS:
                yield Trial(number, "foreign", *whole.features(query), -1, len(split_words(query.text)))


def _query(text: str, encoded: Encoded) -> Query:
    text = surface.without_openers(text) or text
    return Query(text, encoded[text])


def fit(chosen: Sequence[Trial]) -> NDArray[np.float64]:
    """Return the weights, [FEATURES + NONE_FEATURES]."""
    width = len(FEATURES)
    rows = max(len(trial.features) for trial in chosen) + 1
    table = np.zeros((len(chosen), rows, width + len(NONE_FEATURES)))
    masks = np.full((len(chosen), rows), -np.inf)
    right = np.zeros(len(chosen), int)
    counts = Counter(trial.kind for trial in chosen)
    weight = np.array([SHARES[trial.kind] / counts[trial.kind] for trial in chosen]) / sum(SHARES.values())
    for n, trial in enumerate(chosen):
        count = len(trial.features)
        table[n, 1 : count + 1, :width] = trial.features
        table[n, 0, width:] = trial.none
        masks[n, : count + 1] = 0
        right[n] = trial.right + 1
    at = np.arange(len(chosen))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        utilities = table @ weights + masks
        utilities -= utilities.max(1, keepdims=True)
        chances = np.exp(utilities)
        chances /= chances.sum(1, keepdims=True)
        value = -(weight * np.log(chances[at, right] + 1e-12)).sum() + PENALTY * weights @ weights
        chances[at, right] -= 1
        return value, np.einsum("n,nr,nrf->f", weight, chances, table) + 2 * PENALTY * weights

    bounds = [(None, None) if name in FREE else (0.0, None) for name in (*FEATURES, *NONE_FEATURES)]
    return minimize(loss, np.zeros(table.shape[2]), jac=True, method="L-BFGS-B", bounds=bounds).x


def fit_certainty(chosen: Sequence[Trial], weights: NDArray[np.float64]) -> Certainty:
    """Fit the certainty to trials about the card in which the likeliest entry is right, or none can be."""
    width = len(FEATURES)
    rows, answers, weight = [], [], []
    counts = Counter(trial.kind for trial in chosen)
    for trial in chosen:
        utilities = trial.features @ weights[:width]
        if trial.kind == "act" or (trial.right >= 0 and int(utilities.argmax()) != trial.right):
            continue
        rows.append(evidence(trial.features, trial.none, utilities, trial.words))
        answers.append(float(trial.right >= 0))
        weight.append(SHARES[trial.kind] / counts[trial.kind])
    found, right, share = np.array(rows), np.array(answers), np.array(weight) / sum(weight)
    start = Certainty(found.mean(0), found.std(0) + 1e-9, np.zeros(1 + 2 * len(EVIDENCE)))
    inputs = start.inputs(found)

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logit = inputs @ values
        value = (share * (np.logaddexp(0, logit) - right * logit)).sum() + CERTAINTY_PENALTY * values[1:] @ values[1:]
        slope = inputs.T @ (share * (1 / (1 + np.exp(-logit)) - right))
        return value, slope + 2 * CERTAINTY_PENALTY * np.append(0, values[1:])

    return replace(start, weights=minimize(loss, start.weights, jac=True, method="L-BFGS-B").x)


def right_share(weights: NDArray[np.float64], certainty: Certainty, measured: Sequence[Trial]) -> float:
    """Return the share of trials whose choice is the right one."""
    width = len(FEATURES)
    hits = 0
    for trial in measured:
        values = trial.features @ weights[:width]
        certain = float(certainty.logit(evidence(trial.features, trial.none, values, trial.words))[0])
        utilities = np.append(values, trial.none @ weights[width:])
        best = decide(utilities, trial.features[:, FEATURES.index("act")], certain).best
        hits += (-1 if best is None else best) == trial.right
    return hits / max(len(measured), 1)


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cards", nargs="+", type=Path, help="YAML files of role cards")
    parser.add_argument("--write", action="store_true", help="write weights.json beside this module")
    arguments = parser.parse_args()
    encoded = Encoded()
    paths = [path for path in arguments.cards if "facts" in yaml.safe_load(path.read_text())]
    cards = [read_card(path) for path in paths]
    never = yaml.safe_load((Path(__file__).parent / "unanswerable.yaml").read_text())
    found = [
        trial for number, path in enumerate(paths) for trial in trials(number, cards, never.get(path.stem, ()), encoded)
    ]
    shares: dict[str, list[float]] = {kind: [] for kind in SHARES}
    for number in range(len(cards)):
        others = [trial for trial in found if trial.card != number]
        weights = fit(others)
        certainty = fit_certainty(others, weights)
        for kind in SHARES:
            own = [trial for trial in found if trial.card == number and trial.kind == kind]
            shares[kind].append(right_share(weights, certainty, own))
    weights = fit(found)
    certainty = fit_certainty(found, weights)
    listed = [round(float(value), 3) for value in weights]
    table = {
        "entry": dict(zip(FEATURES, listed, strict=False)),
        "none": dict(zip(NONE_FEATURES, listed[len(FEATURES) :], strict=True)),
        "certainty": {name: getattr(certainty, name).round(4).tolist() for name in ("mean", "scale", "weights")},
        "right_on_cards_left_out": {kind: round(float(np.mean(values)), 3) for kind, values in shares.items()},
        "trials": dict(Counter(trial.kind for trial in found)),
    }
    sys.stdout.write(json.dumps(table, indent=2) + "\n")
    if arguments.write:
        (Path(__file__).parent / "weights.json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
