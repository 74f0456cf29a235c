"""Findings on every criterion → verdicts → one score, always with its coverage.

score = weight of passes / weight of what applies, capped by a critical failure
coverage = resolved criteria / those that apply
"""

from collections.abc import Sequence

from crm.call import Call, Scorecard, Turn, Verdict
from crm.scoring.conduct import ConductCheck
from crm.scoring.conversation import Finding, Topics, read
from crm.scoring.facts import FactCheck
from crm.scoring.rubric import Criterion, CriterionKind, rubric, rubric_hash
from personas.persona import PersonaCard

SCORER = "deterministic/1"
CRITICAL_CAP = 0.5  # with one critical failure a call is not half good, whatever else it did


def score_call(call: Call, turns: Sequence[Turn], card: PersonaCard) -> Scorecard:
    """Score what was said against the card of the persona version that answered; the same in, the same out.

    Only what was said or asked counts: the rest does not apply. ``call`` gives the outcome and the role
    prompt, whose figures (a customer's bill) the agent may use.
    """
    criteria = rubric(card)
    topics, talk = Topics.of(card), read(turns)
    facts = FactCheck.of(card, topics, talk, call.role_prompt)
    conduct = ConductCheck(card, topics, talk, call)
    verdicts = tuple(_verdict(criterion, _find(criterion, card, facts, conduct), turns) for criterion in criteria)
    score, coverage = summed(verdicts)
    return Scorecard(SCORER, rubric_hash(criteria), score, coverage, verdicts)


def summed(verdicts: Sequence[Verdict]) -> tuple[float | None, float]:
    """Return score (None where nothing applies) and coverage, both 0 … 1."""
    applicable = [verdict for verdict in verdicts if verdict.result != "na"]
    if not applicable:
        return None, 0.0
    passed = sum(verdict.weight for verdict in applicable if verdict.result == "pass")
    score = passed / sum(verdict.weight for verdict in applicable)
    if any(verdict.result == "fail" and verdict.severity == "critical" for verdict in applicable):
        score = min(score, CRITICAL_CAP)
    resolved = sum(verdict.result != "unresolved" for verdict in applicable)
    return round(score, 4), round(resolved / len(applicable), 4)


def _find(criterion: Criterion, card: PersonaCard, facts: FactCheck, conduct: ConductCheck) -> Finding:
    match criterion.kind:
        case CriterionKind.FACT:
            return facts.fact(next(fact for fact in card.facts if fact.id == criterion.part))
        case CriterionKind.RULE:
            return conduct.rule(next(rule for rule in card.rules if rule.id == criterion.part))
        case CriterionKind.INVENTION:
            return facts.invention()
    checks = {
        CriterionKind.IDENTITY: conduct.identity,
        CriterionKind.ROLE: conduct.role,
        CriterionKind.CALM: conduct.calm,
        CriterionKind.TOPIC: conduct.topic,
        CriterionKind.LOOPS: conduct.loops,
        CriterionKind.CLOSING: conduct.closing,
    }
    return checks[criterion.kind]()


def _verdict(criterion: Criterion, finding: Finding, turns: Sequence[Turn]) -> Verdict:
    result, reason, quote = finding.result, finding.reason, finding.quote
    if quote and (finding.turn_index is None or quote not in turns[finding.turn_index].text):
        # A verdict without evidence is none; this cannot happen by the checks of today, and must not by a judge's.
        result, reason, quote = "unresolved", "The quote is not in the agent's words.", ""
    return Verdict(
        criterion.id,
        criterion.text,
        result,
        criterion.severity,
        criterion.weight,
        quote,
        finding.turn_index if quote else None,
        reason,
    )
