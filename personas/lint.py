"""Checks that a role card is fit for calls: speakable, unambiguous, and fairly testable."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from personas.persona import Fact, FactKind, PersonaCard, QuestionKind, RuleKind, TestQuestion
from personas.spoken import spoken_words

NEAR_DUPLICATE = 0.6
"""Share of words that two questions have in common (Jaccard) from which they count as one."""

LONGEST_SAY = 220
"""Characters; about 15 seconds of speech, the longest that callers listen to."""

_FUNCTION_WORDS = frozenset(
    spoken_words(
        "a an the i you we my your our me us it is are am do does did can could would will what when where who how "
        "which to of for in on at by with and or that this there have has be if so much many long get"
    )
)

_DAY = r"\b(mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b(day|week|month|year)s?\b"
_MONTH = r"\b(january|february|march|april|may|june|july|august|september|october|november|december)\b"
_KIND_FORMS: dict[FactKind, tuple[str, str]] = {
    FactKind.NAME: (r"[A-Z]", "a name begins with a capital"),
    FactKind.AMOUNT: (r"[$]\s?\d|\b(dollars?|cents?|free)\b", "an amount is written like $120"),
    FactKind.PERCENTAGE: (r"%|\bpercent\b", "a percentage is written like 17.9 percent"),
    FactKind.DATE: (rf"{_DAY}|{_MONTH}|\d|(?i:st|nd|rd|th)\b", "a date names a day, a month or an ordinal"),
    FactKind.TIME: (r"\d.*[ap]\.m\.|\d:\d\d|\b(noon|midnight)\b", "a time is written like 7:30 a.m."),
    FactKind.DURATION: (r"\b(second|minute|hour|day|week|month|year)s?\b", "a duration has a unit like minutes"),
    FactKind.QUANTITY: (r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|twelve)\b", "a quantity has a number"),
    FactKind.PHONE: (r"\d(\D*\d){6,}", "a phone number has at least 7 digits"),
    FactKind.IDENTIFIER: (r"\d", "an identifier has a digit"),
    FactKind.ADDRESS: (r"\d|[A-Z]", "an address has a number or a name"),
    FactKind.TEXT: (r"\w", "a text has words"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that makes a card unfit: the field's path and one sentence with the remedy."""

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


def lint_card(card: PersonaCard, *, testable: bool = True) -> list[Finding]:
    """Return what makes ``card`` unfit; empty when it is fit.

    ``testable`` asks for the seven test questions, as every card of the library has them; a card
    with some test questions has those checked in any case.
    """
    checks: list[Callable[[PersonaCard], Iterator[Finding]]] = [
        _spoken,
        _facts,
        _rules,
        _transfers,
        _samples,
        _questions,
    ]
    if testable or card.test_questions:
        checks += [_seven]
    return [finding for check in checks for finding in check(card)]


def overlap(one: str, other: str) -> float:
    """Return how much two questions share, 0 to 1: the greater Jaccard index of all and of their telling words."""
    a, b = set(spoken_words(one)), set(spoken_words(other))
    telling = _jaccard(a - _FUNCTION_WORDS, b - _FUNCTION_WORDS)
    return max(_jaccard(a, b), telling)


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a and b else 0.0


def _sayings(card: PersonaCard) -> Iterator[tuple[str, str]]:
    for name in ("greeting", "unknown_say", "off_topic_say", "rude_say", "closing_say"):
        yield name, getattr(card, name)
    for part in (*card.facts, *card.rules):
        if part.say:
            yield f"{part.id}.say", part.say
    for key in card.menu:
        if key.say:
            yield f"menu.{key.digit}.say", key.say


def _spoken(card: PersonaCard) -> Iterator[Finding]:
    for field, text in _sayings(card):
        if not text.isascii() or not text.isprintable():
            strange = next(letter for letter in text if not letter.isascii() or not letter.isprintable())
            yield Finding(field, f"the character {strange!r} can't be spoken; use plain ASCII letters and quotes")
        elif marks := re.search(r"https?:|www\.|[<>{}\[\]|*_#~^\\`/=@]", text):
            yield Finding(field, f"{marks[0]!r} can't be spoken; write it as a person says it")
        if not text.endswith((".", "!", "?")):
            yield Finding(field, "end it with a full stop, a question mark or an exclamation mark")
        if len(text) > LONGEST_SAY:
            yield Finding(field, f"at {len(text)} characters it is too long to listen to; keep it under {LONGEST_SAY}")
    greeting = _phrase(card.greeting)
    for field, name in (("company", card.agent.company), ("name", card.agent.name.split()[0])):
        if _phrase(name) not in greeting:
            yield Finding("greeting", f"it must say the agent's {field}, {name!r}")


def _phrase(text: str) -> str:
    return f" {' '.join(spoken_words(text))} "


def _facts(card: PersonaCard) -> Iterator[Finding]:
    for fact in card.facts:
        if _phrase(fact.value) not in _phrase(fact.say):
            yield Finding(f"{fact.id}.say", f"it must hold the value {fact.value!r} word for word")
        form, remedy = _KIND_FORMS[fact.kind]
        flags = 0 if fact.kind in (FactKind.NAME, FactKind.ADDRESS) else re.IGNORECASE
        if not re.search(form, fact.value, flags):
            yield Finding(f"{fact.id}.value", f"{fact.value!r} is no {fact.kind.value}: {remedy}")
        yield from _findable(fact)


def _findable(fact: Fact) -> Iterator[Finding]:
    if len(fact.questions) < 3:
        yield Finding(f"{fact.id}.questions", "give at least 3 sample questions, in callers' varied words")
    if not fact.keywords:
        yield Finding(f"{fact.id}.keywords", "give the words that callers use for it")


def _rules(card: PersonaCard) -> Iterator[Finding]:
    sayings = [(field, _phrase(text)) for field, text in _sayings(card)]
    for rule in card.rules:
        if rule.questions and not rule.say:
            yield Finding(f"{rule.id}.say", "a rule with questions needs the sentence that answers them")
        for phrase in rule.forbidden_phrases:
            for field, text in sayings:
                if _phrase(phrase) in text:
                    yield Finding(field, f"it says what {rule.id} forbids: {phrase!r}")


def _transfers(card: PersonaCard) -> Iterator[Finding]:
    """A hand-off begins when the agent says a phrase: in the rule's own sentence, and in no other."""
    for rule in card.rules:
        phrases = [_phrase(phrase) for phrase in rule.transfer_phrases]
        if rule.say and phrases and not any(phrase in _phrase(rule.say) for phrase in phrases):
            yield Finding(f"{rule.id}.transfer_phrases", "one of them must stand in the rule's say word for word")
        for phrase, written in zip(phrases, rule.transfer_phrases, strict=True):
            if len(phrase.split()) < 3:
                yield Finding(f"{rule.id}.transfer_phrases", f"{written!r} is too common; give at least 3 words")
            for field, text in _sayings(card):
                if field != f"{rule.id}.say" and phrase in _phrase(text):
                    yield Finding(field, f"it would hand the caller over as {rule.id} does: {written!r}")
    if not any(key and key.action == "human" for key in map(card.key, "0123456789*#")):
        yield Finding("menu", "no key leads to a human; callers expect one on 0")


def _samples(card: PersonaCard) -> Iterator[Finding]:
    places: dict[str, list[str]] = defaultdict(list)
    for part in (*card.facts, *card.rules):
        for question in part.questions:
            places[_phrase(question)].append(f"{part.id}.questions")
    for question, fields in places.items():
        if len(fields) > 1:
            yield Finding(fields[-1], f"{question.strip()!r} stands already in {fields[0]}; each may stand once")


def _questions(card: PersonaCard) -> Iterator[Finding]:
    samples = [sample for part in (*card.facts, *card.rules) for sample in part.questions]
    for question in card.test_questions:
        field = f"test_questions.{question.kind.value}"
        for sample in samples:
            if overlap(question.ask, sample) >= NEAR_DUPLICATE:
                yield Finding(
                    field, f"{question.ask!r} is too near to the sample question {sample!r}; ask it otherwise"
                )
        if not 5 <= len(question.ask.split()) <= 14:
            yield Finding(field, "ask it in 5 to 14 words, as callers do")
        if problem := _answer_problem(card, question):
            yield Finding(field, problem)


def _answer_problem(card: PersonaCard, question: TestQuestion) -> str:
    kinds = {rule.id: rule.kind for rule in card.rules}
    if question.kind in (QuestionKind.PROPER_NOUN, QuestionKind.DETAIL_ONE, QuestionKind.DETAIL_TWO):
        if not 1 <= len(question.facts) <= 2:
            return "name the one or two facts that answer it"
        names = {fact.id for fact in card.facts if fact.kind is FactKind.NAME}
        if question.kind is QuestionKind.PROPER_NOUN and not names.intersection(question.facts):
            return "it must ask for a fact of kind name"
    elif question.facts:
        return "no fact answers it; remove 'facts'"
    if question.kind is QuestionKind.UNFULFILLABLE and kinds.get(question.rule or "") is not RuleKind.REFUSE:
        return "name the rule of kind refuse that answers it"
    return ""


def _seven(card: PersonaCard) -> Iterator[Finding]:
    kinds = [question.kind for question in card.test_questions]
    for kind in QuestionKind:
        if kinds.count(kind) != 1:
            yield Finding(
                "test_questions", f"{kind.value} must stand there exactly once, not {kinds.count(kind)} times"
            )
