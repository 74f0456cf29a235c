"""A persona version and a customer → what an engine needs to know about its role."""

from collections.abc import Sequence

from agent.duplex import CardFact, CardRule, RoleCard, RolePrompt
from crm.call import KnownCaller, Turn
from personas.persona import PersonaCard
from personas.prompt import MOST_NAME_BYTES, MOST_PROFILE_BYTES, as_data, render_role_prompt

CUT_OFF = "I'm sorry, we were cut off. This is {name} from {company} again. How can I help you further?"
MOST_HISTORY = 900
"""Characters of the conversation so far: half a minute of a role prompt, which has 160 s at most."""


def role_for(card: PersonaCard, customer: KnownCaller | None = None, history: Sequence[Turn] = ()) -> RolePrompt:
    """Return the role prompt of a persona's card, with what is known of the caller.

    ``history`` is what was said in the parts of a call before this one: the agent is told its end, and greets the
    caller with an apology for having been cut off.
    """
    if history:
        greeting = CUT_OFF.format(name=card.agent.name.split()[0], company=card.agent.company)
        card = card.model_copy(update={"greeting": greeting})
    name, profile = (customer.name, customer.profile) if customer else ("", "")
    text = render_role_prompt(card, profile, _so_far(history), customer_name=name)
    return RolePrompt(text=text, voice=card.voice, card=role_card(card, customer))


def _so_far(history: Sequence[Turn]) -> str:
    """Return the last turns that have room, as a dialogue."""
    lines: list[str] = []
    left = MOST_HISTORY
    for turn in reversed(history):
        said = " ".join(turn.text.split())[-MOST_HISTORY // 2 :]
        if not said or turn.backchannel:
            continue
        line = f"{'You' if turn.side == 'agent' else 'The caller'} said: {said}"
        line = line if line.endswith((".", "!", "?")) else f"{line}."
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
    return " ".join(reversed(lines))


def role_card(card: PersonaCard, customer: KnownCaller | None = None) -> RoleCard:
    """Return the card as plain data, for engines that reason over facts."""
    facts = tuple(
        CardFact(fact.id, fact.topic, fact.kind.value, fact.value, fact.say, fact.questions, fact.keywords)
        for fact in card.facts
    )
    rules = tuple(
        CardRule(rule.id, rule.kind.value, rule.text, rule.say, rule.questions, rule.forbidden_phrases)
        for rule in card.rules
    )
    return RoleCard(
        agent_name=card.agent.name,
        company=card.agent.company,
        role=card.agent.role,
        greeting=card.greeting,
        unknown_say=card.unknown_say,
        off_topic_say=card.off_topic_say,
        rude_say=card.rude_say,
        closing_say=card.closing_say,
        facts=facts,
        rules=rules,
        keywords=card.keywords,
        customer_name=as_data(customer.name, MOST_NAME_BYTES) if customer else "",
        customer_profile=as_data(customer.profile, MOST_PROFILE_BYTES) if customer else "",
    )
