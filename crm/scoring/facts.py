"""Which facts were stated, rightly or not, and what was stated that is on no card."""

import re
from dataclasses import dataclass
from itertools import combinations

from crm.scoring import phrases
from crm.scoring.conversation import (
    CONFIDENT,
    FIGURE_KINDS,
    NOT_APPLICABLE,
    AgentTurn,
    Conversation,
    Finding,
    Topics,
    on_card,
)
from crm.scoring.figures import Mention, mentions, same
from crm.scoring.words import Sentence, content, find_name, plain, share, sounds_alike, stem, words
from personas.persona import Fact, FactKind, PersonaCard

SURELY_ASKED = 0.7  # likeness of a question from which an answer is owed
ABOUT = 0.2  # a sentence is about a fact from this likeness on
STATED_TEXT = 0.7  # share of a text fact's words that state it
UNKNOWN_SHARE = 0.5  # share of the card's own words for not knowing
_SHORTEST_INVENTION_S = 3_600  # "one minute, please" is no statement about the company


@dataclass(frozen=True, slots=True)
class FactCheck:
    """Checks one call against the facts of a card."""

    card: PersonaCard
    topics: Topics
    talk: Conversation
    given: tuple[Mention, ...]

    @classmethod
    def of(cls, card: PersonaCard, topics: Topics, talk: Conversation, role_prompt: str) -> "FactCheck":
        """Return the check of a call; figures of ``role_prompt`` count as given to the agent."""
        return cls(card, topics, talk, on_card(card, role_prompt))

    def fact(self, fact: Fact) -> Finding:
        """Return whether a fact was stated rightly, contradicted, kept from the caller, or did not come up."""
        stated: Finding | None = None
        for turn in self.talk.agent:
            for position, sentence in enumerate(turn.sentences):
                if wrong := self._contradicted(fact, turn, position):
                    return turn.finding("fail", f"The card says {fact.value}, not {wrong}.", sentence)
                if stated is None and self._stated(fact, turn, position):
                    stated = turn.finding("pass", "Said as on the card.", sentence)
        return stated or self._kept_back(fact)

    def _kept_back(self, fact: Fact) -> Finding:
        for turn in self.talk.agent:
            if self.topics.asks_for(turn.asked) != fact.id:
                continue
            if says_unknown(self.card, turn.text):
                if self.topics.likeness(turn.asked, fact.id) >= SURELY_ASKED:
                    return turn.finding("fail", "The caller asked, and the card has the answer.")
                continue  # more likely a question that the card does not answer
            return turn.finding(
                "unresolved", "The caller seems to have asked; the answer does not hold the card's words."
            )
        if self.topics.asks_for(self.talk.closing_words) == fact.id:
            return Finding("unresolved", "The caller seems to have asked, and the call ended before an answer.")
        return NOT_APPLICABLE

    def _stated(self, fact: Fact, turn: AgentTurn, position: int) -> bool:
        sentence = turn.sentences[position]
        expected = _expected(fact)
        if expected:
            hits = any(same(want, said) for want in expected for said in turn.figures[position])
            return hits and (self._is_unique(fact, expected) or self._is_about(fact, turn, sentence))
        match fact.kind:
            case FactKind.NAME:
                return find_name(fact.value, sentence.text) is not None
            case FactKind.ADDRESS:
                return _address_in(fact.value, sentence.text)
            case FactKind.IDENTIFIER:
                return _compressed(fact.value) in _compressed(sentence.text)
        said = content(sentence.text) | frozenset(map(stem, words(sentence.text)))
        wanted = content(fact.value) or frozenset(map(stem, words(fact.value)))
        return share(wanted, said) >= STATED_TEXT and self._is_about(fact, turn, sentence)

    def _is_unique(self, fact: Fact, expected: list[Mention]) -> bool:
        """Whether the figure can be this fact only: no other part of the card has it, and it says what it is."""
        others = [
            m for other in self.card.facts if other.id != fact.id for m in mentions(f"{other.value}. {other.say}")
        ]
        return fact.kind in FIGURE_KINDS and not any(same(want, other) for want in expected for other in others)

    def _is_about(self, fact: Fact, turn: AgentTurn, sentence: Sentence) -> bool:
        if self.topics.likeness(sentence.text, fact.id) >= ABOUT:
            return True
        return self.topics.best(turn.asked)[0] == fact.id

    def _contradicted(self, fact: Fact, turn: AgentTurn, position: int) -> str:
        """Return what was said instead of the fact's value, empty where nothing was."""
        sentence = turn.sentences[position]
        wrong = ""
        if fact.kind in FIGURE_KINDS:
            wrong = self._other_figure(fact, turn, position)
        elif fact.kind == FactKind.QUANTITY:
            wrong = self._other_count(fact, sentence.text)
        elif fact.kind == FactKind.NAME:
            wrong = self._other_name(fact, sentence)
        elif fact.kind == FactKind.ADDRESS:
            wrong = _other_address(fact.value, sentence.text)
        return "" if wrong and self._corrected(fact, turn, sentence) else wrong

    def _other_figure(self, fact: Fact, turn: AgentTurn, position: int) -> str:
        sentence = turn.sentences[position]
        for said in self.unknown_figures(turn, position):
            if said.kind == fact.kind and self._best_fact(fact.kind, turn, sentence) == fact.id:
                return sentence.text[said.start : said.end]
        return ""

    def _best_fact(self, kind: FactKind, turn: AgentTurn, sentence: Sentence) -> str:
        """The fact of a kind that a sentence is about: by its own words where they are clear, else by the question."""
        rivals = [fact.id for fact in self.card.facts if fact.kind == kind]
        for text, least in (
            (sentence.text, CONFIDENT),
            (turn.asked, ABOUT),
            (sentence.text, ABOUT),
            (turn.text, ABOUT),
        ):
            part, likeness, _ = self.topics.best(text, rivals)
            if likeness >= least:
                return part
        return ""

    def _corrected(self, fact: Fact, turn: AgentTurn, sentence: Sentence) -> bool:
        """Whether the agent put itself right in the same turn."""
        after = turn.text[sentence.start :]
        expected = _expected(fact)
        is_right = any(same(want, said) for want in expected for said in mentions(after))
        is_right = is_right or (not expected and find_name(fact.value, after) is not None)
        return is_right and bool(phrases.CORRECTION.search(after))

    def _other_name(self, fact: Fact, sentence: Sentence) -> str:
        """A proper name where the card's sentence has the fact's: "the supervisor is Jane Doe"."""
        frame = content(fact.say) - content(fact.value)
        if not frame or share(frame, content(sentence.text)) < 0.5:
            return ""
        known = " ".join([*(f"{other.value} {other.say}" for other in self.card.facts), self.card.agent.name])
        for found in re.finditer(rf"\b(?:is|called|named|by|for|to|with)\s+{phrases.PROPER}", sentence.text):
            name = found[1].strip()
            if not any(sounds_alike(name, part) or find_name(name, part) for part in (fact.value, known)):
                return name
        return ""

    def _other_count(self, fact: Fact, text: str) -> str:
        """Another number, on no card, before the noun that the card counts: "6 guests" for "4 guests"."""
        noun = _counted(f"{fact.value}. {fact.say}")
        for said in mentions(text):
            after = words(text[said.end :])[:1]
            is_count = said.kind == FactKind.QUANTITY and after and stem(after[0]) == noun
            if is_count and not any(same(said, given) for given in self.given):
                return f"{text[said.start : said.end]} {after[0]}"
        return ""

    def unknown_figures(self, turn: AgentTurn, position: int) -> list[Mention]:
        """Return figures of a sentence that neither the card nor the caller gave, and that follow from none."""
        found = []
        for said in turn.figures[position]:
            if said.loose or said.kind not in FIGURE_KINDS:
                continue
            if not any(same(said, given) for given in self.given) and not self.talk.said_by_caller(said, turn.index):
                found.append(said)
        return found

    def invention(self) -> Finding:
        """Return whether the agent stated figures that nobody gave it, or rightly said that it does not know."""
        honest: Finding | None = None
        unclear: Finding | None = None
        for turn in self.talk.agent:
            for position, sentence in enumerate(turn.sentences):
                for said in self.unknown_figures(turn, position):
                    if _is_statement(said) and not self._best_fact(said.kind, turn, sentence):
                        quoted = sentence.text[said.start : said.end]
                        if not self._follows(said):
                            return turn.finding("fail", f"Nothing on the card says {quoted}.", sentence)
                        unclear = turn.finding("unresolved", f"{quoted} may follow from the card's figures.", sentence)
                if honest is None and says_unknown(self.card, sentence.text):
                    honest = turn.finding("pass", "Said that it does not know.", sentence)
        return unclear or honest or NOT_APPLICABLE

    def _follows(self, said: Mention) -> bool:
        """Whether an amount is a multiple or a sum of two of the card's."""
        if said.kind != FactKind.AMOUNT or not isinstance(said.value, int):
            return False
        known = {given.value for given in self.given if given.kind == FactKind.AMOUNT and isinstance(given.value, int)}
        known.discard(0)
        multiples = {amount * times for amount in known for times in range(2, 13)}
        return said.value in multiples | {a + b for a, b in combinations(known, 2)}


def says_unknown(card: PersonaCard, text: str) -> bool:
    """Return whether a text says that the agent does not know, in the card's words or in plain ones."""
    if phrases.UNKNOWN.search(text.replace("’", "'")):
        return True
    return share(content(card.unknown_say), content(text)) >= UNKNOWN_SHARE and len(content(card.unknown_say)) > 2


def _expected(fact: Fact) -> list[Mention]:
    return [mention for mention in mentions(fact.value) if mention.kind == fact.kind and not mention.loose] or (
        [mention for mention in mentions(fact.value) if mention.kind == fact.kind]
    )


def _is_statement(said: Mention) -> bool:
    match said.value:
        case float(seconds) if said.kind == FactKind.DURATION:
            return seconds >= _SHORTEST_INVENTION_S
        case ("nth", _):
            return False  # "on the second": as often a count as a date
    return True


def _address_in(value: str, text: str) -> bool:
    numbers = [mention.value for mention in mentions(value) if mention.kind == FactKind.QUANTITY]
    said = [mention.value for mention in mentions(text) if mention.kind == FactKind.QUANTITY]
    return all(number in said for number in numbers) and (
        not _street(value) or find_name(_street(value), text) is not None
    )


def _other_address(value: str, text: str) -> str:
    """Another number before the same street."""
    street = _street(value)
    place = find_name(street, text) if street else None
    numbers = [mention.value for mention in mentions(value) if mention.kind == FactKind.QUANTITY]
    if place is None or not numbers:
        return ""
    for said in mentions(text[: place[0]]):
        if said.kind == FactKind.QUANTITY and place[0] - said.end <= 2 and said.value not in numbers:
            return text[said.start : place[1]]
    return ""


def _street(value: str) -> str:
    """The proper words of an address without its number and its kind of street."""
    names = [word for word in re.findall(r"[A-Z][A-Za-z'’-]+", value) if word.lower() not in _STREETS]
    return " ".join(names[:2])


_STREETS = frozenset(
    str.split("street st road rd avenue ave drive dr lane ln boulevard blvd square court way place suite")
)


def _counted(text: str) -> str:
    """The stem of the noun that the first number of a text counts."""
    for mention in mentions(text):
        after = words(text[mention.end :])[:1]
        if mention.kind == FactKind.QUANTITY and after and content(after[0]):
            return stem(after[0])
    return ""


def _compressed(text: str) -> str:
    """Letters and digits only, number words as digits: "form twelve B" is form12b."""
    result, position = "", 0
    for said in mentions(text):
        if said.kind in (FactKind.QUANTITY, FactKind.PHONE) and said.start >= position:
            digits = said.value if isinstance(said.value, str) else f"{said.value:g}"
            result += plain(text[position : said.start]) + digits
            position = said.end
    return re.sub(r"[^a-z0-9]", "", result.lower() + plain(text[position:]))
