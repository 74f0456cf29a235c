"""Renders a role card as the text that PersonaPlex was trained to be prompted with."""

from personas.persona import PersonaCard


def render_role_prompt(card: PersonaCard, customer: str = "", so_far: str = "") -> str:
    """Return the role prompt of a card, one paragraph of English without ``<system>`` markers.

    The form is the one PersonaPlex was trained on: "You work for COMPANY which is BUSINESS and your
    name is NAME. Information: …". ``customer`` is what is known of the caller, in sentences;
    ``so_far`` what was said before the line was cut, where the call goes on.
    """
    agent = card.agent
    parts = [f"You work for {agent.company} which is {agent.business} and your name is {agent.name}."]
    parts.append("Information:")
    parts += [_sentence(fact.say) for fact in card.facts]
    for rule in card.rules:
        parts.append(_sentence(rule.text))
        if rule.transfer_phrases and rule.say:  # the hand-off begins when these words are heard
            parts.append(f"To do so, say: {rule.say}")
    if card.greeting:  # a benchmark's agent waits for the caller
        parts.append(f"Greet the caller with: {card.greeting}")
    parts += [
        f"If you do not know something, say: {card.unknown_say}",
        f"If the caller asks about something else, say: {card.off_topic_say}",
        f"If the caller is rude, stay calm and say: {card.rude_say}",
        f"End the call with: {card.closing_say}",
    ]
    if customer.strip():
        parts.append(f"About the caller: {_sentence(customer)}")
    if so_far.strip():
        parts.append(f"The line was cut in the middle of this call. Until then: {_sentence(so_far)}")
    return " ".join(" ".join(parts).split())


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
