"""What can be read off an utterance's words alone: openers, clauses, a name given, digits, mere noises."""

import re
from collections.abc import Sequence
from itertools import pairwise

from agent.engines.cascade.ports import Word
from agent.engines.cascade.responder import acts
from agent.engines.cascade.responder.words import COMMON, split_words, word_set

LEAST_WORDS = 3

_OPENER = re.compile(rf"^(?:{acts.OPENERS})\b(?!-)\s*")
_STARTERS = (
    "how|what|what's|when|when's|where|where's|who|who's|which|why|can|could|do|does|did|is|are|will|would|should|may|"
    "i'd like|i would like|i want|i need|tell me|also"
)
_JOINT = re.compile(rf"(?:[?.!;]+\s*|,?\s+)(?:and|also|plus|but|then)\s+(?=(?:{_STARTERS})\b)|[?.!;]+\s+")
_QUESTION = word_set("how what what's when where who who's which why")
_LINK = word_set("so because but and if before after since")
_SUBJECT = word_set("i i'm i've i'd it it's we we're my our you your they he she")
_BEFORE_SUBJECT = (
    _LINK
    | _QUESTION
    | word_set(
        "is are was were do does did can could will would should may have has that to for with of at on in about "
        "much many long soon from by and or than"
    )
)
_FOLLOW_UP = re.compile(r"^(?:and\s+)?(?:what|how) about\b|^and\b|^what if\b|^or\b")
_POINTER = re.compile(r"\b(it|that|this|them|they|those|there|one)\b")
_NAME = re.compile(
    r"\b(?:my name is|my name's|the name is|the name's|i am called|you can call me|this is|i'm|i am|it's)\s+"
    r"([a-z][a-z'’-]+)(?:\s+([a-z][a-z'’-]+))?",
    re.IGNORECASE,
)
_NAME_HEAD = re.compile(
    r"\b(my name is|my name's|the name is|the name's|i am called|you can call me|this is|i'm|i am|it's)$"
)
_SURE_NAME = re.compile(r"\b(name|called|call me)\b", re.IGNORECASE)
_NAME_TAIL = frozenset({"speaking", "here", "calling"})
_NUMBER_WORDS = word_set("zero oh one two three four five six seven eight nine ten double triple nought")
_LETTER_SOUND = re.compile(r"^[a-z]$|^\d+$")


def without_openers(text: str) -> str:
    """Return ``text`` in lower case without greetings, hesitations and thanks at its head; may be empty."""
    rest = re.sub(r"\s+", " ", text.lower().replace("’", "'")).strip(" ,.!?")
    while (match := _OPENER.match(rest)) is not None and match.end():
        rest = rest[match.end() :].lstrip(" ,.!?")
    return rest


def clauses(text: str) -> list[str]:
    """Split ``text`` where a further question seems to begin; a single clause comes back alone."""
    parts = [part.strip(" ,.;!?") for part in _JOINT.split(text)]
    return [part for part in parts if part]


def segments(text: str) -> list[str]:
    """Return the parts of ``text`` that may hold its matter alone: "I have a cat | how much is a check-up".

    Cut before question words, pronouns and conjunctions; parts of less than LEAST_WORDS, and those without a
    telling word, go with the part before. A text that is one part gives none.
    """
    words = text.split()
    starts = [n for n in range(1, len(words)) if _begins_part(words[n - 1], words[n])]
    found: list[str] = []
    for start, end in pairwise([0, *starts, len(words)]):
        part = words[start:end]
        if found and (len(part) < LEAST_WORDS or not set(split_words(" ".join(part))) - COMMON):
            found[-1] = " ".join((found[-1], *part))
        else:
            found.append(" ".join(part))
    return [part for part in found if len(part.split()) >= LEAST_WORDS] if len(found) > 1 else []


def _begins_part(before: str, word: str) -> bool:
    if before[-1] in ".,;!?" or word in _LINK:
        return True
    if word in _QUESTION:
        return before not in _LINK
    return word in _SUBJECT and before not in _BEFORE_SUBJECT


def is_follow_up(text: str) -> bool:
    """Return whether ``text`` (lower case) seems to lean on what was said before."""
    words = split_words(text)
    telling = [word for word in words if word not in COMMON]
    return (
        bool(_FOLLOW_UP.search(text))
        or not telling
        or (len(words) <= 3 and len(telling) <= 1)
        or (len(telling) <= 1 and bool(_POINTER.search(text)))
    )


def follow_up_matter(text: str) -> str:
    """Return what a follow-up adds: "and what about sundays" → "sundays"; empty when it only points back."""
    rest = _FOLLOW_UP.sub("", text.lower()).strip()
    return " ".join(word for word in split_words(rest) if word not in COMMON)


def name_given(text: str, known: frozenset[str]) -> str:
    """Return the name the caller gives, capitalised; empty when none. ``known`` are words that are no names.

    "my name is …" is trusted; "this is …" and "I'm …" only with "speaking", "here" or "calling" after the
    name, for most words that follow them are no names.
    """
    for match in _NAME.finditer(text):
        words = [word.lower() for word in match.groups() if word]
        tail = text[match.start(1) :].lower().split()
        sure = bool(_SURE_NAME.search(match.group(0)))
        if not sure and not any(word.strip(",.!") in _NAME_TAIL for word in tail[1:3]):
            continue
        name = []
        for word in words:
            if word in _NAME_TAIL or word in COMMON or word in known:
                break
            name.append(word.capitalize())
        if name:
            return " ".join(name)
    return ""


def without_name(words: Sequence[Word], name: str) -> tuple[Word, ...]:
    """Return ``words`` without "my name is …", "this is … speaking"; as they are when ``name`` isn't in them."""
    plain = [word.text.lower().strip(",.!?") for word in words]
    parts = name.lower().split()
    for start in range(len(plain)):
        if parts and plain[start : start + len(parts)] == parts:
            end = start + len(parts)
            end += plain[end : end + 1] != [] and plain[end] in _NAME_TAIL
            head = _NAME_HEAD.sub("", " ".join(plain[:start])).split()
            return (*words[: len(head)], *words[end:])
    return tuple(words)


def gives_numbers(text: str) -> bool:
    """Return whether ``text`` is mostly digits or single letters, as in a phone number or a spelling."""
    words = split_words(text)
    digits = sum(len(word) if word.isdigit() else 1 for word in words if _is_symbol(word))
    return digits >= 4 and sum(_is_symbol(word) for word in words) * 2 >= len(words)


def _is_symbol(word: str) -> bool:
    return word in _NUMBER_WORDS or bool(_LETTER_SOUND.match(word))
