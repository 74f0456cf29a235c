"""Fit and measure the weights of the ranking on cards' own sample questions; prints both.

    python -m agent.engines.cascade.responder.calibrate personas/library/*.yaml [--write]

Every trial leaves out what it asks, so nothing is asked in words that the index holds:

- *known*: a sample question of a fact or rule, left out of its card; right is that entry.
- *unknown*: the same question on a card that lacks the whole fact; right is "nothing on the card".
- *act*: a sample phrase of a dialogue act, left out; right is that act.

Each trial is done with the words as they are and with 10 % and 20 % of them replaced by words of the card
that sound alike, replaced at random or dropped, as a recogniser does. The weights maximise the likelihood of
the right choices with a small penalty on their squares (L-BFGS-B); the three kinds of trial weigh alike, and
evidence for an entry never counts against it, or an utterance in a sample question's own words could miss. The
figures are from weights fitted without the card they are measured on. Test questions of the cards are not read.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.optimize import minimize

from agent.duplex import CardFact, CardRule, RoleCard
from agent.engines.cascade.responder import surface
from agent.engines.cascade.responder.encoder import Vector
from agent.engines.cascade.responder.index import ACT, FEATURES, NONE_FEATURES, CardIndex, Entry, Query, entries_of
from agent.engines.cascade.responder.sentence_model import SentenceModel, model_folder
from agent.engines.cascade.responder.words import COMMON, sound, split_words

ERROR_RATES = (0.0, 0.1, 0.2)
PENALTY = 2e-4
FREE = frozenset({"rule", "act", "off_topic", "rude", "bias"})
"""Weights that may be negative: how common a choice is, not evidence for it."""

KINDS = ("known", "unknown", "act")


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice: utilities are made from ``features`` [entries, F] and ``none`` [N]; ``right`` is -1 for none."""

    card: int
    kind: str
    features: NDArray[np.float64]
    none: NDArray[np.float64]
    right: int


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


def trials(number: int, card: RoleCard, encoded: Encoded) -> Iterator[Trial]:
    """Yield the trials of one card."""
    entries = entries_of(card)
    encoded.learn([text for entry in entries for text in entry.texts])
    chance = random.Random(number)  # noqa: S311 - repeatable, no secret
    vocabulary = vocabulary_of(entries)
    for row, entry in enumerate(entries):
        others = (*entries[:row], *entries[row + 1 :])
        lacking = CardIndex(others, encoded)
        for ask in entry.asks:
            rest = replace(entry, asks=tuple(other for other in entry.asks if other != ask))
            index = CardIndex((*entries[:row], rest, *entries[row + 1 :]), encoded)
            for rate in ERROR_RATES:
                text = surface.without_openers(misheard(ask, rate, vocabulary, chance)) or ask
                query = Query(text, encoded[text])
                yield Trial(number, "act" if entry.family == ACT else "known", *index.features(query), row)
                if entry.family == "fact":
                    yield Trial(number, "unknown", *lacking.features(query), -1)


def fit(chosen: Sequence[Trial]) -> NDArray[np.float64]:
    """Return the weights, [FEATURES + NONE_FEATURES]."""
    width = len(FEATURES)
    rows = max(len(trial.features) for trial in chosen) + 1
    table = np.zeros((len(chosen), rows, width + len(NONE_FEATURES)))
    masks = np.full((len(chosen), rows), -np.inf)
    right = np.zeros(len(chosen), int)
    counts = {kind: sum(trial.kind == kind for trial in chosen) for kind in KINDS}
    weight = np.array([1 / (len(KINDS) * counts[trial.kind]) for trial in chosen])
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


def right_share(weights: NDArray[np.float64], measured: Sequence[Trial]) -> float:
    """Return the share of trials whose likeliest choice is the right one."""
    width = len(FEATURES)
    hits = 0
    for trial in measured:
        utilities = np.append(trial.none @ weights[width:], trial.features @ weights[:width])
        hits += int(utilities.argmax()) == trial.right + 1
    return hits / max(len(measured), 1)


def main() -> None:
    """Run the command of the module's docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cards", nargs="+", type=Path, help="YAML files of role cards")
    parser.add_argument("--write", action="store_true", help="write weights.json beside this module")
    arguments = parser.parse_args()
    encoded = Encoded()
    found = [trial for number, path in enumerate(arguments.cards) for trial in trials(number, read_card(path), encoded)]
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(len(arguments.cards)):
        weights = fit([trial for trial in found if trial.card != number])
        for kind in KINDS:
            shares[kind].append(right_share(weights, [t for t in found if t.card == number and t.kind == kind]))
    weights = [round(float(value), 3) for value in fit(found)]
    table = {
        "entry": dict(zip(FEATURES, weights, strict=False)),
        "none": dict(zip(NONE_FEATURES, weights[len(FEATURES) :], strict=True)),
        "right_on_cards_left_out": {kind: round(float(np.mean(values)), 3) for kind, values in shares.items()},
        "trials": {kind: sum(trial.kind == kind for trial in found) for kind in KINDS},
    }
    sys.stdout.write(json.dumps(table, indent=2) + "\n")
    if arguments.write:
        (Path(__file__).parent / "weights.json").write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
