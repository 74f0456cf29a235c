"""Renders a role card as the text that PersonaPlex was trained to be prompted with."""

import unicodedata

from personas.persona import PersonaCard

MOST_NAME_BYTES, MOST_PROFILE_BYTES = 120, 800
"""Of a caller's name and profile in UTF-8, where a letter of English is one byte. A piece of text takes a frame of the
role prompt and at least a byte: with the longest profile there is room for a card and a call's past in the 1 500 frames
that PersonaPlex takes."""


def render_role_prompt(card: PersonaCard, customer: str = "", so_far: str = "", *, customer_name: str = "") -> str:
    """Return the role prompt of a card, one paragraph of English without ``<system>`` markers.

    The form is the one PersonaPlex was trained on: "You work for COMPANY which is BUSINESS and your
    name is NAME. Information: …". ``customer`` is what is known of the caller, in sentences, beside their name;
    ``so_far`` what was said before the line was cut, where the call goes on. All three are others' words and are
    put in ``as_data``.
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
    if about := _about(as_data(customer_name, MOST_NAME_BYTES), as_data(customer, MOST_PROFILE_BYTES)):
        parts.append(f"About the caller: {about}")
    if past := as_data(so_far):
        parts.append(f"The line was cut in the middle of this call. Until then: {_sentence(past)}")
    return " ".join(" ".join(parts).split())


def as_data(text: str, most_bytes: int | None = None) -> str:
    """Return others' words as they may stand in a prompt: one line, without what a model takes for its markers.

    ``<system>`` is PersonaPlex's marker, other models have ``<s>`` or ``<|im_start|>``: angle brackets become round
    ones, wide forms of them too, which tables of pieces fold (NFKC). What can't be seen is left out. Text over
    ``most_bytes`` of UTF-8 ends with the last word that fits.
    """
    folded = unicodedata.normalize("NFKC", text).translate(_BRACKETS)
    seen = "".join(each if _is_seen(each) else " " if each.isspace() else "" for each in folded)
    words = " ".join(seen.split())
    if most_bytes is None or len(words.encode()) <= most_bytes:
        return words
    cut = words.encode()[:most_bytes].decode(errors="ignore")
    return cut.rpartition(" ")[0] or cut


_BRACKETS = str.maketrans("<>", "()")


def _is_seen(letter: str) -> bool:
    return not unicodedata.category(letter).startswith("C")


def _about(name: str, profile: str) -> str:
    """Return the name and the profile in sentences; a name that the profile says is not said twice."""
    named = f"Their name is {_sentence(name)}" if name and name.casefold() not in profile.casefold() else ""
    return f"{named} {_sentence(profile) if profile else ''}".strip()


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
