"""How well a call kept its role: criteria from the card, verdicts with quotes, one score with its coverage."""

from collections.abc import Sequence

from crm.call import Call, Scorecard, Turn
from personas.persona import PersonaCard


def score_call(call: Call, turns: Sequence[Turn], card: PersonaCard) -> Scorecard:
    """Score what was said against the card of the persona version that answered."""
    raise NotImplementedError
