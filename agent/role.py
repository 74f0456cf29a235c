"""A persona version and a customer → what an engine needs to know about its role."""

from agent.duplex import CardFact, CardRule, RoleCard, RolePrompt
from crm.call import Customer
from personas.persona import PersonaCard
from personas.prompt import render_role_prompt


def role_for(card: PersonaCard, customer: Customer | None = None) -> RolePrompt:
    """Return the role prompt of a persona's card, with what is known of the caller."""
    profile = customer.profile if customer else ""
    return RolePrompt(text=render_role_prompt(card, profile), voice=card.voice, card=role_card(card, customer))


def role_card(card: PersonaCard, customer: Customer | None = None) -> RoleCard:
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
        customer_name=customer.name if customer else "",
    )
