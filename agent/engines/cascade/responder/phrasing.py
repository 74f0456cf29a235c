"""How a sentence is turned so that it fits its place: said before, spelled, with the caller's name."""

import re

from agent.engines.cascade.responder.words import word_set

_LOWER_WHEN_LATER = word_set(
    "the our we your you it that this these those there a an yes no for if all they in on at as by to with is are "
    "normally usually please"
)
_AGAIN = ("As I said, ", "As I mentioned, ", "Once more: ")


def again(sentence: str, times: int) -> str:
    """Return ``sentence`` marked as said before; the marker changes with ``times``, from 1."""
    return _AGAIN[(times - 1) % len(_AGAIN)] + later(sentence)


def later(sentence: str) -> str:
    """Return ``sentence`` as it stands after other words: without capital where its first word needs none."""
    first, _, rest = sentence.partition(" ")
    return f"{first.lower()} {rest}" if first.lower() in _LOWER_WHEN_LATER else sentence


def spelled(value: str) -> str:
    """Return ``value`` letter by letter, words apart: "Bay 12" → "B, A, Y. 1, 2."."""
    words = re.findall(r"[A-Za-z0-9]+", value)
    return " ".join(", ".join(word.upper()) + "." for word in words)


def with_name(sentence: str, name: str) -> str:
    """Return ``sentence`` addressed to ``name``: "Sure." → "Sure, Ann."; unchanged without a name."""
    match = re.match(r"^([\w' ]+)([.!,])(?=\s|$)", sentence)
    if not name or match is None:
        return sentence
    return f"{match.group(1)}, {name.split()[0]}{match.group(2)}{sentence[match.end() :]}"


def with_article(role: str) -> str:
    """Return ``role`` with "a" or "an", unless it has an article: "an agent", "the concierge"."""
    if re.match(r"(a|an|the)\s", role):
        return role
    return f"{'an' if role[:1].lower() in tuple('aeiou') else 'a'} {role}"


_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[A-Za-z]\.)(?<!\b(?:Mr|Ms|Dr|No|St)\.)(?<!\bMrs\.)\s+(?=[A-Z\"'“])")


def sentences(text: str, *, keep_end: bool = False) -> list[str]:
    """Split ``text`` at sentence ends, not at "7:30 a.m.", "No. 5" or a decimal point.

    ``keep_end`` leaves white space at the end of the last part, for text that is still growing.
    """
    return [part for part in _SENTENCE_END.split(text.lstrip() if keep_end else text.strip()) if part]
