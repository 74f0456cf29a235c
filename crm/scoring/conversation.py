"""A call as the scorers read it: what the agent said, sentence by sentence, and what it was asked before."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from crm.call import Turn, VerdictResult
from crm.scoring.figures import Mention, mentions
from crm.scoring.words import Sentence, content, sentences
from personas.persona import FactKind, PersonaCard

CONFIDENT = 0.7  # a caller's turn asks for a part of the card from this likeness on
MARGIN = 0.08  # … and if no other part is as near as this
UNKNOWN_WORD = 1.0  # weight of a word that is nowhere on the card: it speaks for another topic


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; ``quote`` is an exact substring of turn ``turn_index``."""

    result: VerdictResult
    reason: str
    quote: str = ""
    turn_index: int | None = None


NOT_APPLICABLE = Finding("na", "It did not come up.")


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """One turn of the agent. ``asked`` is what the caller said since the agent's turn before."""

    index: int
    text: str
    asked: str
    asked_index: int | None
    sentences: tuple[Sentence, ...]
    figures: tuple[tuple[Mention, ...], ...]  # by sentence

    def finding(self, result: VerdictResult, reason: str, sentence: Sentence | None = None) -> Finding:
        """Return a finding that quotes a sentence of this turn, or all of it."""
        return Finding(result, reason, sentence.text if sentence else self.text, self.index)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Both sides of a call. ``closing_words`` is what the caller said after the agent's last turn."""

    agent: tuple[AgentTurn, ...]
    caller: tuple[tuple[int, str], ...]
    closing_words: str
    caller_figures: tuple[tuple[int, Mention], ...]

    def said_by_caller(self, mention: Mention, before: int) -> bool:
        """Return whether the caller had used this figure before turn ``before``."""
        return any(index < before and figure.value == mention.value for index, figure in self.caller_figures)


def read(turns: Sequence[Turn]) -> Conversation:
    """Read the turns of a call; backchannels and turns without words say nothing."""
    agent: list[AgentTurn] = []
    caller: list[tuple[int, str]] = []
    asked: list[tuple[int, str]] = []
    for index, turn in enumerate(turns):
        if turn.backchannel or not turn.text.strip():
            continue
        if turn.side == "caller":
            caller.append((index, turn.text))
            asked.append((index, turn.text))
            continue
        parts = tuple(sentences(turn.text))
        figures = tuple(tuple(mentions(part.text)) for part in parts)
        question = " ".join(text for _, text in asked)
        agent.append(AgentTurn(index, turn.text, question, asked[-1][0] if asked else None, parts, figures))
        asked = []
    figures_of_caller = tuple((index, figure) for index, text in caller for figure in mentions(text))
    return Conversation(tuple(agent), tuple(caller), " ".join(text for _, text in asked), figures_of_caller)


@dataclass(frozen=True, slots=True)
class Topics:
    """Which part of the card a text is about, by the words of its topics, keywords and sample questions.

    Rare words tell more than those that many parts share (inverse document frequency).
    """

    bags: dict[str, frozenset[str]]
    samples: dict[str, tuple[frozenset[str], ...]]
    weights: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, card: PersonaCard) -> "Topics":
        """Return the topics of a card."""
        samples: dict[str, tuple[frozenset[str], ...]] = {}
        bags: dict[str, frozenset[str]] = {}
        for part in (*card.facts, *card.rules):
            samples[part.id] = tuple(content(question) for question in part.questions)
            own = getattr(part, "topic", ""), *getattr(part, "keywords", ())
            bags[part.id] = content(" ".join(own)).union(*samples[part.id])
        count = Counter(word for bag in bags.values() for word in bag)
        weights = {word: math.log((len(bags) + 1) / number) for word, number in count.items()}
        return cls(bags, samples, weights)

    def likeness(self, text: str, part: str) -> float:
        """Return how near a text is to a part of the card, 0 … 1."""
        said = content(text)
        if not said:
            return 0.0
        whole = sum(self.weights.get(word, UNKNOWN_WORD) for word in said)
        covered = sum(self.weights[word] for word in said & self.bags[part]) / whole
        nearest = max((self._dice(said, sample) for sample in self.samples[part]), default=0.0)
        return (covered + max(nearest, covered * 0.8)) / 2

    def _dice(self, one: frozenset[str], other: frozenset[str]) -> float:
        def weight(words: frozenset[str]) -> float:
            return sum(self.weights.get(word, UNKNOWN_WORD) for word in words)

        return 2 * weight(one & other) / (weight(one) + weight(other)) if one and other else 0.0

    def best(self, text: str, parts: Sequence[str] | None = None) -> tuple[str, float, float]:
        """Return the nearest part (of ``parts``), its likeness, and how far the next one is behind."""
        ranked = sorted(((self.likeness(text, part), part) for part in (parts or self.bags)), reverse=True)
        if not ranked or ranked[0][0] == 0:
            return "", 0.0, 0.0
        return ranked[0][1], ranked[0][0], ranked[0][0] - (ranked[1][0] if len(ranked) > 1 else 0.0)

    def asks_for(self, text: str) -> str:
        """Return the part of the card that a text asks for, empty where that is not clear.

        Of the library's test questions (paraphrases) it finds half, takes one in forty for another part,
        and a tenth of those that no card answers for some part: enough to look for an answer, not to
        blame for a missing one.
        """
        part, likeness, margin = self.best(text)
        return part if likeness >= CONFIDENT and margin >= MARGIN else ""


def on_card(card: PersonaCard, role_prompt: str = "") -> tuple[Mention, ...]:
    """Return every figure that the agent was given: the card's, and those of the customer's profile."""
    texts = [card.greeting, card.unknown_say, card.off_topic_say, card.rude_say, card.closing_say, role_prompt]
    for fact in card.facts:
        texts += [fact.value, fact.say, fact.topic]
    for rule in card.rules:
        texts += [rule.text, rule.say]
    return tuple(mention for text in texts for mention in mentions(text))


FIGURE_KINDS = frozenset(
    {FactKind.AMOUNT, FactKind.PERCENTAGE, FactKind.DATE, FactKind.TIME, FactKind.DURATION, FactKind.PHONE}
)
