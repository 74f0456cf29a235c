"""Criteria from a role card: what a call with this persona is held to."""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from crm.call import Severity
from personas.persona import Fact, PersonaCard, Rule, RuleKind


class CriterionKind(StrEnum):
    """What a criterion looks at; those by fact and rule have one for each."""

    IDENTITY = "identity"
    ROLE = "role"
    FACT = "fact"
    RULE = "rule"
    INVENTION = "invention"
    CALM = "calm"
    TOPIC = "topic"
    LOOPS = "loops"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing a call is held to. ``part`` is the id of the fact or rule it is about, else empty."""

    id: str
    kind: CriterionKind
    text: str
    severity: Severity
    weight: float
    part: str = ""


RULE_TEXTS: dict[RuleKind, tuple[str, Severity, float]] = {
    RuleKind.REFUSE: ("Refuses when asked", "critical", 2.0),
    RuleKind.VERIFY: ("Asks before it helps", "critical", 2.0),
    RuleKind.ESCALATE: ("Hands over when asked", "major", 1.0),
    RuleKind.OFFER: ("Offers when it fits", "minor", 1.0),
    RuleKind.STEP: ("Does, in its place", "major", 1.0),
}


def rubric(card: PersonaCard) -> tuple[Criterion, ...]:
    """Return the criteria of a card, in the order that people read them."""
    who = f"{card.agent.name} of {card.agent.company}"
    whole = (
        Criterion("identity", CriterionKind.IDENTITY, f"Is {who}, and claims to be nobody else.", "critical", 2.0),
        Criterion("role", CriterionKind.ROLE, "Stays the agent: never speaks as the customer.", "critical", 2.0),
    )
    conduct = (
        Criterion("invention", CriterionKind.INVENTION, "Invents nothing that the card does not say.", "major", 2.0),
        Criterion("calm", CriterionKind.CALM, "Stays calm and polite when the caller is rude.", "major", 1.0),
        Criterion("topic", CriterionKind.TOPIC, "Leads back from what is not its business.", "minor", 1.0),
        Criterion("loops", CriterionKind.LOOPS, "Does not say the same thing over and over.", "minor", 1.0),
        Criterion("closing", CriterionKind.CLOSING, "Says goodbye at the end.", "minor", 1.0),
    )
    return (*whole, *map(_of_fact, card.facts), *map(_of_rule, card.rules), *conduct)


def rubric_hash(criteria: tuple[Criterion, ...]) -> str:
    """Return the SHA-256 of a rubric: scores with the same hash were held to the same things."""
    plain = json.dumps([asdict(criterion) for criterion in criteria], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def _of_fact(fact: Fact) -> Criterion:
    text = f"Says rightly: {fact.topic} ({fact.value})."
    return Criterion(f"fact:{fact.id}", CriterionKind.FACT, text, "major", 1.0, fact.id)


def _of_rule(rule: Rule) -> Criterion:
    lead, severity, weight = RULE_TEXTS[rule.kind]
    return Criterion(f"rule:{rule.id}", CriterionKind.RULE, f"{lead}: {rule.text}", severity, weight, rule.id)
