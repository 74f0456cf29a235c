"""What a persona is: a role card of typed facts and rules, and how it reads as a role prompt."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$", max_length=64)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
Human = Annotated[str, StringConstraints(pattern=r"^(\+[1-9][0-9]{6,14})?$")]
"""A human's phone number in E.164; empty means that of the dialled number."""
HandoffMode = Literal["cold", "warm", "queue"]


class FactKind(StrEnum):
    """How a fact's value is read when words are compared with it."""

    NAME = "name"
    AMOUNT = "amount"
    PERCENTAGE = "percentage"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    QUANTITY = "quantity"
    PHONE = "phone"
    IDENTIFIER = "identifier"
    ADDRESS = "address"
    TEXT = "text"


class RuleKind(StrEnum):
    """What a rule asks of the agent."""

    OFFER = "offer"  # may and should do this when asked
    REFUSE = "refuse"  # must not do this; says so and offers what it can
    VERIFY = "verify"  # must ask for something before personal data
    STEP = "step"  # must happen in the call, in the order given
    ESCALATE = "escalate"  # hands the caller to a human


class QuestionKind(StrEnum):
    """The seven questions of Service-Duplex-Bench, by their place: Q0 … Q6."""

    PROPER_NOUN = "Q0"
    DETAIL_ONE = "Q1"
    DETAIL_TWO = "Q2"
    UNFULFILLABLE = "Q3"
    RUDENESS = "Q4"
    UNSPECIFIED = "Q5"
    UNRELATED = "Q6"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Fact(_Part):
    """One thing the agent knows. ``value`` is the datum itself ("$120"), ``say`` a sentence that holds it."""

    id: Id
    topic: Line
    kind: FactKind
    value: Line
    say: Line
    questions: tuple[Line, ...] = ()
    keywords: tuple[Line, ...] = ()


class Rule(_Part):
    """One thing the agent must or must not do. ``say`` is what it answers when ``questions`` are asked.

    Once the agent of a rule of kind escalate has said one of ``transfer_phrases``, the caller is handed to the human
    ``transfer_to`` in the way ``transfer_mode``; without phrases the agent only says that it passes things on.
    """

    id: Id
    kind: RuleKind
    text: Line
    say: str = Field(default="", max_length=400)
    questions: tuple[Line, ...] = ()
    forbidden_phrases: tuple[Line, ...] = ()
    transfer_phrases: tuple[Line, ...] = ()
    transfer_to: Human = ""
    transfer_mode: HandoffMode = "cold"

    @model_validator(mode="after")
    def _only_escalations_transfer(self) -> "Rule":
        if self.kind is not RuleKind.ESCALATE and (self.transfer_phrases or self.transfer_to):
            raise ValueError("only rules of kind escalate transfer callers; remove transfer_phrases and transfer_to")
        return self


class MenuKey(_Part):
    """What a key of the caller's phone does: hand the caller ``to`` a human, ``say`` a sentence, or end the call.

    ``say`` is also spoken before a hand-off or the end, in place of the usual words.
    """

    digit: Annotated[str, StringConstraints(pattern=r"^[0-9*#]$")]
    action: Literal["human", "say", "hang_up"]
    to: Human = ""
    say: str = Field(default="", max_length=400)
    mode: HandoffMode = "cold"

    @model_validator(mode="after")
    def _fits_its_action(self) -> "MenuKey":
        if self.action == "say" and not self.say:
            raise ValueError(f"key {self.digit} says nothing; give 'say' a sentence")
        if self.action != "human" and self.to:
            raise ValueError(f"key {self.digit} calls nobody; remove 'to' or make its action human")
        return self


HUMAN_KEY = MenuKey(digit="0", action="human")
"""What key 0 does where a card's menu does not name it."""


class Agent(_Part):
    """Who speaks: the agent's own name, the company and the job there."""

    name: Line
    company: Line
    role: Line
    business: Line = Field(description="What the company is, e.g. 'a waste management company'")


class TestQuestion(_Part):
    """One of the seven test questions. ``facts`` names the facts a right answer states (Q0-Q2).

    For Q3-Q6 the right answer is the card's refusal (``rule``), calm reply, unknown or redirection.
    """

    __test__ = False  # not a pytest class

    kind: QuestionKind
    ask: Line
    facts: tuple[Id, ...] = ()
    rule: Id | None = None


class PersonaCard(_Part):
    """A role card, as a YAML file of personas/library holds it and as a persona version stores it."""

    slug: Slug
    title: Line
    scenario: Line
    agent: Agent
    voice: Line = "NATF2"
    greeting: Line
    facts: tuple[Fact, ...] = Field(min_length=1, max_length=60)
    rules: tuple[Rule, ...] = Field(default=(), max_length=40)
    unknown_say: Line
    off_topic_say: Line
    rude_say: Line
    closing_say: Line
    keywords: tuple[Line, ...] = ()
    menu: tuple[MenuKey, ...] = ()
    test_questions: tuple[TestQuestion, ...] = ()

    def key(self, digit: str) -> MenuKey | None:
        """Return what a key does; None for keys that do nothing."""
        return next((key for key in (*self.menu, HUMAN_KEY) if key.digit == digit), None)

    @model_validator(mode="after")
    def _keys_differ(self) -> "PersonaCard":
        digits = [key.digit for key in self.menu]
        if len(set(digits)) < len(digits):
            raise ValueError("a key may stand in the menu once")
        return self

    @model_validator(mode="after")
    def _ids_agree(self) -> "PersonaCard":
        ids = [part.id for part in (*self.facts, *self.rules)]
        twice = {name for name in ids if ids.count(name) > 1}
        if twice:
            raise ValueError(f"ids must be unique in a card; used twice: {', '.join(sorted(twice))}")
        for question in self.test_questions:
            missing = set(question.facts) - {fact.id for fact in self.facts}
            if question.rule is not None and question.rule not in {rule.id for rule in self.rules}:
                missing.add(question.rule)
            if missing:
                raise ValueError(f"test question {question.kind.value} names no fact or rule of this card: {missing}")
        return self
