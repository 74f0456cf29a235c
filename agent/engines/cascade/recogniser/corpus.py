"""What a caller may say to one card: weighted sentences made from its words, and from what callers say anywhere."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.duplex import RoleCard
from agent.engines.cascade import elsewhere
from agent.engines.cascade.recogniser import phrases as p
from agent.engines.cascade.recogniser.spoken import spoken_words


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence as words, and how much it counts."""

    words: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Weights:
    """How much a sentence of each kind counts; ``frames`` is shared out among the things asked about."""

    question: float = 6.0
    statement: float = 1.0
    name: float = 1.0
    frame: float = 0.05
    phrase: float = 1.5
    elsewhere: float = 0.7


def card_lines(card: RoleCard, weights: Weights = Weights()) -> list[Line]:
    """Return every sentence the language model of ``card`` is counted on."""
    lines = [*_lines(_questions(card), weights.question), *_lines(_statements(card), weights.statement)]
    lines += _lines(_names(card), weights.name)
    lines += _lines(_framed(p.FRAMES, _things(card)), weights.frame)
    for block in (p.COURTESIES, p.REQUESTS, p.COMPLAINTS, p.SMALL_TALK):
        lines += _lines(p.phrases(block), weights.phrase)
    lines += _lines(elsewhere.questions(), weights.elsewhere)
    return lines + list(_general(weights))


def _lines(texts: Iterable[str], weight: float) -> Iterator[Line]:
    for text in texts:
        for sentence in re.split(r"(?<=[a-z)][.?!;:])\s+", text):
            words = tuple(spoken_words(sentence))
            if words:
                yield Line(words, weight)


def _questions(card: RoleCard) -> list[str]:
    return [question for part in (*card.facts, *card.rules) for question in part.questions]


def _statements(card: RoleCard) -> list[str]:
    says = [part.say for part in (*card.facts, *card.rules)]
    spoken = [card.greeting, card.unknown_say, card.off_topic_say, card.rude_say, card.closing_say, card.role]
    return says + spoken + [rule.text for rule in card.rules] + [fact.topic for fact in card.facts]


def _names(card: RoleCard) -> list[str]:
    names = [card.agent_name, card.company, card.customer_name, *(fact.value for fact in card.facts)]
    first = [name.split()[0] for name in (card.agent_name, card.customer_name) if name]
    return names + first + [f"is this {card.company}", f"hi {first[0] if first else ''}"]


def _things(card: RoleCard) -> list[str]:
    things = [*card.keywords, *(fact.topic for fact in card.facts)]
    things += [keyword for fact in card.facts for keyword in fact.keywords]
    return sorted({" ".join(spoken_words(thing)) for thing in things} - {""})


def _framed(block: str, things: Iterable[str]) -> Iterator[str]:
    frames = p.phrases(block)
    return (frame.replace("{x}", thing) for thing in things for frame in frames)


def _general(weights: Weights) -> Iterator[Line]:
    for frames, block in ((p.DAY_FRAMES, p.DAYS), (p.MONTH_FRAMES, p.MONTHS)):
        yield from _lines(_framed(frames, p.phrases(block)), weights.frame)
    numbers = p.phrases(p.DIGITS) + p.phrases(p.NUMBERS)
    yield from _lines(_framed(p.NUMBER_FRAMES, numbers), weights.frame)
    yield from _lines([*numbers, *p.phrases(p.LETTERS)], weights.frame)
