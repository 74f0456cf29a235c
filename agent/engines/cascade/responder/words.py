"""Words of an utterance made comparable: stems, sounds, and how much each says within one card.

A recogniser puts words that sound alike in each other's place, so a word that the card does not know is
also looked up by its consonants, exactly or with one of them missing.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_SPLIT_NUMBER = re.compile(r"(?<=\d)[,.](?=\d)")


def word_set(text: str) -> frozenset[str]:
    """Return the words of ``text``, which are apart by white space."""
    return frozenset(text.split())


COMMON = word_set(
    "a an the this that these those it its i me my mine we us our you your yours he she him her his they them "
    "their is are am was were be been being do does did done have has had having will would can could shall "
    "should may might must to of in on at for from with by about as into up out so and or but if then than there "
    "here what which who whom whose when where why how much many long any some no not yes please just also too "
    "very really get got give tell say know want need like let make go going i'm i'd i'll i've you're it's that's "
    "what's don't doesn't didn't isn't aren't can't won't there's um uh well okay ok hi hello thanks thank"
)
"""Words that say little about which fact is asked for."""

SAME_SOUND = 0.8
NEAR_SOUND = 0.55


def split_words(text: str) -> list[str]:
    """Return the lower-case words of ``text``; digits count as words, apostrophes stay inside."""
    plain = _SPLIT_NUMBER.sub("", text.lower().replace("’", "'"))
    return _WORD.findall(plain)


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """Return ``word`` without the commonest English endings; a crude stem, the same for related forms."""
    word = word.removesuffix("'s")
    for ending, least, put in (("ies", 5, "y"), ("ing", 6, ""), ("ed", 5, ""), ("es", 5, "e"), ("s", 4, "")):
        if word.endswith(ending) and len(word) >= least and not word.endswith("ss"):
            word = word[: -len(ending)] + put
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aelos":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


_SOUNDS = tuple(
    (re.compile(pattern), code)
    for pattern, code in (
        (r"^(kn|gn|pn)", "n"),
        (r"^wr", "r"),
        (r"^wh", "w"),
        (r"^x", "s"),
        (r"tch|ch|sh|ti(?=[ao])|ci(?=[ao])|si(?=[ao])", "5"),
        (r"dge|j|g(?=[eiy])", "5"),
        (r"ph|v", "f"),
        (r"th", "t"),
        (r"gh(?=t|$)|(?<=[aeiou])h|mb$", ""),
        (r"ck|q|x|c(?![eiy])|g", "k"),
        (r"c|z", "s"),
        (r"d", "t"),
        (r"b", "p"),
        (r"m", "n"),
    )
)


@lru_cache(maxsize=16_384)
def sound(word: str) -> str:
    """Return the consonants of ``word`` in classes that telephones and recognisers confuse (b/p, d/t, f/v, m/n, …)."""
    if not word.isalpha():
        return word
    for pattern, code in _SOUNDS:
        word = pattern.sub(code, word)
    head = "a" if word[:1] in tuple("aeiou") else ""
    skeleton = head + re.sub(r"[aeiouyhw]", "", word)
    return re.sub(r"(.)\1+", r"\1", skeleton)


def _with_one_missing(key: str) -> Iterable[str]:
    return (key[:i] + key[i + 1 :] for i in range(len(key)))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of one card: how much each tells (``weights``), and by what sounds it can be found."""

    weights: Mapping[str, float]
    unknown_weight: float
    by_sound: Mapping[str, frozenset[str]] = field(repr=False)

    @classmethod
    def of(cls, documents: Iterable[Iterable[str]]) -> "Vocabulary":
        """Count in how many documents (sets of stems, one a fact or rule) each stem stands.

        The weight is the inverse document frequency log((n + 1) / (count + ½)), a quarter of it for common words.
        """
        counts: dict[str, int] = {}
        total = 0
        for document in documents:
            total += 1
            for word in set(document):
                counts[word] = counts.get(word, 0) + 1
        weights = {
            word: max(math.log((total + 1) / (count + 0.5)), 0.05) * (0.25 if word in _COMMON_STEMS else 1.0)
            for word, count in counts.items()
        }
        sounds: dict[str, set[str]] = {}
        for word in counts:
            if word in _COMMON_STEMS or not word.isalpha():
                continue
            key = sound(word)
            if len(key) >= 2:
                sounds.setdefault(key, set()).add(word)
            if len(key) >= 4:
                for shorter in _with_one_missing(key):
                    sounds.setdefault("-" + shorter, set()).add(word)
        return cls(weights, math.log(total + 1), {key: frozenset(words) for key, words in sounds.items()})

    def weight(self, word: str) -> float:
        """Return how much a stem tells; words the card lacks tell as much as the rarest, common ones little."""
        return self.weights.get(word, 0.05 if word in _COMMON_STEMS else self.unknown_weight * 0.5)

    def readings(self, word: str) -> dict[str, float]:
        """Return the card's stems that ``word`` may stand for, with how sure that is, 0 … 1."""
        if word in self.weights or word in _COMMON_STEMS:
            return {word: 1.0}
        key = sound(word)
        found = {other: NEAR_SOUND for other in self._near(key)}
        found |= {word: 1.0} | {other: SAME_SOUND for other in self.by_sound.get(key, ()) if len(key) >= 2}
        return found

    def _near(self, key: str) -> Iterable[str]:
        if len(key) < 3:
            return
        yield from self.by_sound.get("-" + key, ())
        for shorter in _with_one_missing(key):
            if len(shorter) >= 3:
                yield from self.by_sound.get(shorter, ())
                yield from self.by_sound.get("-" + shorter, ())


_COMMON_STEMS = frozenset(stem(word) for word in COMMON) | COMMON


def stems(text: str) -> list[str]:
    """Return the stems of ``text``, in order."""
    return [stem(word) for word in split_words(text)]
