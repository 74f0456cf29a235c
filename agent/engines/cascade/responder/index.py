"""One card as a list of things the agent can answer, and how much an utterance looks like each of them.

card ─▶ Entry, Entry, … ─▶ CardIndex ─▶ features [entries, FEATURES] of an utterance ─▶ ranking
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.duplex import RoleCard
from agent.engines.cascade import elsewhere
from agent.engines.cascade.responder import acts
from agent.engines.cascade.responder.sentence_model import Vectors
from agent.engines.cascade.responder.words import Vocabulary, split_words, stems

FACT, RULE, ACT = "fact", "rule", "act"

FEATURES = (
    "ask",  # cosine to the nearest sample question
    "say",  # cosine to the answer itself
    "topic",  # cosine to the topic's name, or to the rule's text
    "all",  # cosine to the mean of its questions, answer and topic
    "near",  # mean cosine to the three nearest sample questions
    "words",  # share of the utterance's telling words that the entry holds, by sound where not by letter
    "focus",  # the same for the words of its topic and keywords only
    "kind",  # +1 when the question asks for a value of the fact's kind, -1 when for another
    "rule",  # 1 for a rule
    "act_ask",  # cosine to the nearest sample phrase, for dialogue acts
    "act_all",  # cosine to the mean of its phrases, for dialogue acts
    "act",  # 1 for a dialogue act
    "act_words",  # share of telling words, for dialogue acts
    "act_long",  # for brief dialogue acts, by how many times six words the utterance is longer than six
    "off_topic",  # 1 for unrelated talk
    "rude",  # 1 for rudeness
)
NONE_FEATURES = (
    "bias",  # 1
    "say",  # highest cosine to any answer
    "topic",  # highest cosine to any topic
    "elsewhere",  # highest cosine to what callers ask elsewhere
    "strange",  # share of the utterance's telling words that the card knows neither by letter nor by sound
)
"""Of the choice "nothing on the card"."""

OWN_LIKENESS = 0.7
"""A question asked elsewhere that is this near to one of the card (cosine) is the card's own."""

_NEAREST = 3

_CUES = tuple(
    (re.compile(pattern), frozenset(kinds.split()))
    for pattern, kinds in (
        (
            r"\bhow much\b.*\b(take|hold|weigh|time)\b|\bhow many\b|\bhow (big|large|heavy|far|tall)\b",
            "quantity text",
        ),
        (r"\bhow much\b|\bcosts?\b|\bprices?\b|\bfees?\b|\bcharges?\b", "amount percentage text"),
        (r"\bhow long\b|\bhow (soon|quickly|fast)\b", "duration date time text"),
        (r"\bwhat time\b|\bwhich hours\b|\bwhat hours\b", "time text"),
        (r"\bwhen\b|\bwhat (day|date)\b|\bwhich (day|date)\b", "date time duration text"),
        (r"\bwhere\b|\baddress\b", "address name text"),
        (r"\b(phone|telephone) number\b|\bwhat number\b", "phone identifier"),
        (r"\bwho\b|\bname of\b|\bwhose\b", "name text"),
        (r"\bwhat percent\w*\b|\bpercentage\b|\brate\b", "percentage amount text"),
    )
)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something the agent can answer: a fact, a rule or a dialogue act, with every text that leads to it."""

    topic: str
    family: str
    kind: str
    asks: tuple[str, ...]
    say: str = ""
    about: str = ""
    keywords: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts whose meaning is compared."""
        return tuple(text for text in (*self.asks, self.say, self.about) if text)


def entries_of(card: RoleCard) -> tuple[Entry, ...]:
    """List what can be answered from ``card``, then the dialogue acts."""
    facts = [
        Entry(fact.id, FACT, fact.kind, fact.questions, fact.say, fact.topic, (*fact.keywords, fact.topic))
        for fact in card.facts
    ]
    rules = [
        Entry(rule.id, RULE, rule.kind, rule.questions, rule.say, rule.text) for rule in card.rules if rule.questions
    ]
    return (*facts, *rules, *(_act(name) for name in acts.PHRASES))


def _act(name: str) -> Entry:
    return Entry(name, ACT, name, acts.PHRASES[name], keywords=tuple(acts.INSULTS) if name == acts.RUDE else ())


@dataclass(frozen=True, slots=True)
class Query:
    """One reading of what was said: its words, its vector [384], and what counts against it, as a logit."""

    text: str
    vector: NDArray[np.float32]
    doubt: float = 0.0


class CardIndex:
    """Vectors and words of a card's entries; ``features`` compares an utterance with all of them."""

    def __init__(self, entries: Sequence[Entry], vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Build from ``vectors``, which holds a unit vector [384] for each text of ``entries``."""
        self.entries = tuple(entries)
        asks = [(row, ask) for row, entry in enumerate(self.entries) for ask in entry.asks]
        self._ask_rows = np.array([row for row, _ in asks])
        self._ask_vectors = _stack([vectors[ask] for _, ask in asks])
        self._asks_of = [np.flatnonzero(self._ask_rows == row) for row in range(len(self.entries))]
        nothing = np.zeros_like(self._ask_vectors[0])
        self._say_vectors = _stack([vectors[entry.say] if entry.say else nothing for entry in self.entries])
        self._about_vectors = _stack([vectors[entry.about] if entry.about else nothing for entry in self.entries])
        means = _stack([np.mean([vectors[text] for text in entry.texts], axis=0) for entry in self.entries])
        self._means = means / np.linalg.norm(means, axis=1, keepdims=True)
        self._stems = [frozenset(stems(" ".join((*entry.texts, *entry.keywords)))) for entry in self.entries]
        self._focus = [frozenset(stems(" ".join(entry.keywords))) for entry in self.entries]
        on_card = [words for words, entry in zip(self._stems, self.entries, strict=True) if entry.family != ACT]
        self._vocabulary = Vocabulary.of(on_card)
        self._known = frozenset[str]().union(*on_card)
        self._is_act = np.array([entry.family == ACT for entry in self.entries])
        self._is_brief = np.array([entry.family == ACT and entry.topic in acts.BRIEF for entry in self.entries])
        self._is_rule = np.array([entry.family == RULE for entry in self.entries])
        self._elsewhere = self._asked_elsewhere(_stack([vectors[text] for text in elsewhere.questions()]))

    def _asked_elsewhere(self, vectors: Vectors) -> Vectors:
        """Return those of ``vectors`` that ask for nothing on the card; a row of zeros when none is left."""
        own = np.concatenate([self._ask_vectors[~self._is_act[self._ask_rows]], self._about_vectors])
        others = vectors[(vectors @ own.T).max(axis=1) < OWN_LIKENESS]
        return others if len(others) else np.zeros_like(vectors[:1])

    def features(self, query: Query) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the features of each entry, [entries, FEATURES], and of "nothing on the card", [NONE_FEATURES]."""
        asks = self._ask_vectors @ query.vector
        say = self._say_vectors @ query.vector
        about = self._about_vectors @ query.vector
        everything = self._means @ query.vector
        ask = np.full(len(self.entries), -1.0)
        np.maximum.at(ask, self._ask_rows, asks)
        ask = np.where(ask < -0.99, 0.8 * np.maximum(say, about), ask)
        words, focus, strange = self._shares(stems(query.text))
        card = ~self._is_act
        features = np.column_stack(
            [
                ask * card,
                say * card,
                about * card,
                everything * card,
                self._near(asks, ask) * card,
                words * card,
                focus * card,
                self._kinds(query.text),
                self._is_rule,
                ask * self._is_act,
                everything * self._is_act,
                self._is_act,
                words * self._is_act,
                self._is_brief * max(len(split_words(query.text)) / acts.BRIEF_WORDS - 1, 0),
                [entry.topic == acts.OFF_TOPIC for entry in self.entries],
                [entry.topic == acts.RUDE for entry in self.entries],
            ]
        )
        nearest = [found[card].max(initial=0.0) for found in (say, about)]
        return features, np.array([1.0, *nearest, (self._elsewhere @ query.vector).max(), strange])

    def _near(self, asks: NDArray[np.float32], nearest: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the mean cosine to each entry's nearest questions; ``nearest`` where it has none."""
        tops = [np.sort(asks[rows])[-_NEAREST:].mean() if len(rows) else np.nan for rows in self._asks_of]
        return np.where(np.isnan(tops), nearest, tops)

    def likeness(self, query: Query) -> float:
        """Return the cosine to the nearest sample question of the card itself."""
        asks = self._ask_vectors[~self._is_act[self._ask_rows]]
        return float((asks @ query.vector).max(initial=-1.0))

    def _shares(self, said: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Return the weighted share of ``said`` that each entry's words, its focus words, and no entry account for."""
        words, focus = np.zeros(len(self.entries)), np.zeros(len(self.entries))
        total, strange = 1e-9, 0.0
        for word in dict.fromkeys(said):
            weight = self._vocabulary.weight(word)
            total += weight
            readings = self._vocabulary.readings(word)
            nearest = max((sure for other, sure in readings.items() if other in self._known), default=0.0)
            strange += weight * (1.0 - nearest)
            for row, (known, sharp) in enumerate(zip(self._stems, self._focus, strict=True)):
                words[row] += weight * max((sure for other, sure in readings.items() if other in known), default=0.0)
                focus[row] += weight * max((sure for other, sure in readings.items() if other in sharp), default=0.0)
        return words / total, focus / total, strange / total

    def _kinds(self, text: str) -> NDArray[np.float64]:
        lower = text.lower()
        wanted = next((kinds for cue, kinds in _CUES if cue.search(lower)), None)
        if wanted is None:
            return np.zeros(len(self.entries))
        return np.array(
            [(1.0 if entry.kind in wanted else -1.0) if entry.family == FACT else 0.0 for entry in self.entries]
        )


def _stack(rows: list[NDArray[np.float32]]) -> Vectors:
    return np.stack(rows).astype(np.float32)
