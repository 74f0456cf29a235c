"""Text as the scorers read it: sentences with their places, stems, and words that sound alike."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)*|\d+")
_ABBREVIATION = re.compile(r"(?:\b[ap]\.m|\b(?:mr|mrs|ms|dr|st|no))\.$", re.IGNORECASE)
_STOP = frozenset(
    str.split(
        "a about after again each dollar dollars all also am an and any anything are as at be because been before "
        "but by can "
        "can't cannot could did do does doesn't don't else for from get give go going had has have he hello "
        "help her here hi him his how i i'd i'll i'm i've if in into is isn't it it's its just know let like "
        "long make many may me more most much must my name need next no not now of off ok okay on one only or "
        "other our out over please right say she should so some something sorry sure take tell than thank "
        "thanks that that's the their them then there these they thing this those time to today too up us "
        "want was we we're well were what what's when where which while who why will with would yes you you'd "
        "you'll you're your"
    )
)
SOUNDS_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a turn: ``text`` is the turn's ``[start:end]``."""

    text: str
    start: int
    end: int


def sentences(text: str) -> list[Sentence]:
    """Split a turn's text where a sentence ends; figures (27.50) and abbreviations (a.m.) do not end one."""
    found, start = [], 0
    for mark in re.finditer(r"[.!?]+(?=\s|$)", text):
        rest = text[mark.end() :].lstrip()
        if _ABBREVIATION.search(text[: mark.end()]) and not rest[:1].isupper() and rest:
            continue
        found.append((start, mark.end()))
        start = mark.end()
    found.append((start, len(text)))
    return [_trimmed(text, low, high) for low, high in found if text[low:high].strip()]


def _trimmed(text: str, low: int, high: int) -> Sentence:
    inner = text[low:high].strip()
    start = text.index(inner, low)
    return Sentence(inner, start, start + len(inner))


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, with plain apostrophes."""
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def plain(text: str) -> str:
    """Return a text's words with one space between, for phrases to be found in."""
    return " ".join(words(text))


def content(text: str) -> frozenset[str]:
    """Return the stems of the words that carry meaning."""
    return frozenset(stem(word) for word in words(text) if word not in _STOP and len(word) > 1)


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return a word without its commonest endings, so that "collected" and "collection" meet."""
    word = word.removesuffix("'s")
    for ending, kept in (("ations", 3), ("ation", 3), ("ions", 4), ("ion", 4), ("ings", 3), ("ing", 3), ("ies", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= kept:
            return _plain_end(word.removesuffix(ending) + ("y" if ending == "ies" else ""))
    for ending in ("ed", "es", "s"):
        if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
            return _plain_end(word.removesuffix(ending))
    return _plain_end(word)


def _plain_end(word: str) -> str:
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def share(wanted: Iterable[str], said: frozenset[str]) -> float:
    """Return which part of ``wanted`` was said, 0 … 1; 0 where nothing is wanted."""
    stems = frozenset(wanted)
    return len(stems & said) / len(stems) if stems else 0.0


@lru_cache(maxsize=20_000)
def sound(text: str) -> str:
    """Return a rough phonetic key: spellings that sound the same in English come close to each other."""
    key = re.sub(r"[^a-z]", "", text.lower())
    for pattern, by in _SOUNDS:
        key = re.sub(pattern, by, key)
    return re.sub(r"(.)\1+", r"\1", key[:1] + re.sub(r"[aeiouy]", "", key[1:]))


_SOUNDS = (
    (r"^(kn|gn|pn)", "n"),
    (r"^wr", "r"),
    (r"ph", "f"),
    (r"gh(?=t|$)", ""),
    (r"(sch|sh|tch|ch)", "j"),
    (r"x", "ks"),
    (r"(ck|q|c(?=[^eiy]|$))", "k"),
    (r"c(?=[eiy])", "s"),
    (r"z", "s"),
    (r"dg(?=[eiy])", "j"),
    (r"d", "t"),
    (r"v", "f"),
    (r"h(?![aeiouy])", ""),
    (r"w(?![aeiouy])", ""),
)


def sounds_alike(one: str, other: str) -> bool:
    """Return whether two names could be the same one, heard or spelled by different ears."""
    a, b = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (one, other))
    if not a or not b:
        return False
    if SequenceMatcher(None, a, b).ratio() >= SOUNDS_ALIKE:
        return True
    key_a, key_b = sound(a), sound(b)
    return len(key_a) > 2 and SequenceMatcher(None, key_a, key_b).ratio() >= 0.9 and a[0] == b[0]


def find_name(name: str, text: str) -> tuple[int, int] | None:
    """Return where a text holds a name, with phonetic tolerance, words run together or apart; None if nowhere."""
    tokens = list(_WORD.finditer(text))
    size = len(_WORD.findall(name))
    for width in sorted(range(max(1, size - 1), size + 2), key=lambda width: abs(width - size)):
        for window in _windows(tokens, width):
            start, end = window[0].start(), window[-1].end()
            # Fewer words than the name has must be those words run together, not a part of it.
            if sounds_alike(name, text[start:end]) and (width == size or _is_joined(name, text[start:end])):
                return start, end
    return None


def _is_joined(name: str, said: str) -> bool:
    a, b = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (name, said))
    return SequenceMatcher(None, a, b).ratio() >= 0.85


def _windows(tokens: list[re.Match[str]], width: int) -> Iterator[list[re.Match[str]]]:
    for position in range(len(tokens) - width + 1):
        yield tokens[position : position + width]
