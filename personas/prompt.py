"""Renders a role card as the text that PersonaPlex was trained to be prompted with."""

from personas.persona import PersonaCard


def render_role_prompt(card: PersonaCard, customer: str = "") -> str:
    """Return the role prompt of a card, one paragraph of English without ``<system>`` markers.

    The form is the one PersonaPlex was trained on: "You work for COMPANY which is BUSINESS and your
    name is NAME. Information: …". ``customer`` is what is known of the caller, in sentences.
    """
    agent = card.agent
    parts = [f"You work for {agent.company} which is {agent.business} and your name is {agent.name}."]
    parts.append("Information:")
    parts += [_sentence(fact.say) for fact in card.facts]
    parts += [_sentence(rule.text) for rule in card.rules]
    parts += [
        f"Greet the caller with: {card.greeting}",
        f"If you do not know something, say: {card.unknown_say}",
        f"If the caller asks about something else, say: {card.off_topic_say}",
        f"If the caller is rude, stay calm and say: {card.rude_say}",
        f"End the call with: {card.closing_say}",
    ]
    if customer.strip():
        parts.append(f"About the caller: {_sentence(customer)}")
    return " ".join(" ".join(parts).split())


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
