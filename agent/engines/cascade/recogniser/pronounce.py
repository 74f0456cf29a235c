"""How words sound, in the acoustic model's phones: its own dictionary, eSpeak's phonemes for words not in it."""

import re
from collections.abc import Iterable
from pathlib import Path

from agent.duplex import DuplexError
from agent.engines.cascade.espeak import Espeak

_ACCENTS = ("en-us", "en-gb")

# International Phonetic Alphabet, as eSpeak writes English, to ARPAbet. The longest match wins.
_PHONES = {
    **dict.fromkeys(("ə", "ɐ", "ʌ", "ɤ", "ɨ"), "AH"),
    **dict.fromkeys(("æ", "a"), "AE"),
    **dict.fromkeys(("ɑ", "ɑː", "ɒ", "aː"), "AA"),
    **dict.fromkeys(("ɔ", "ɔː", "oː"), "AO"),
    **dict.fromkeys(("oʊ", "əʊ", "o"), "OW"),
    **dict.fromkeys(("ɛ", "e"), "EH"),
    **dict.fromkeys(("ɪ", "ᵻ"), "IH"),
    **dict.fromkeys(("i", "iː"), "IY"),
    **dict.fromkeys(("u", "uː"), "UW"),
    **dict.fromkeys(("ɜː", "ɚ", "ɜ", "əɹ"), "ER"),
    **dict.fromkeys(("ɹ", "r", "ɻ"), "R"),
    **dict.fromkeys(("k", "x", "q", "ç"), "K"),
    **dict.fromkeys(("t", "ʔ"), "T"),
    **{
        "aɪ": "AY",
        "aʊ": "AW",
        "eɪ": "EY",
        "eː": "EY",
        "ɔɪ": "OY",
        "ʊ": "UH",
        "eə": "EH AH",
        "ɛə": "EH R",
        "əl": "AH L",
    },
    **{
        "aɪɚ": "AY ER",
        "aɪə": "AY AH",
        "iə": "IY AH",
        "ɪə": "IH R",
        "ʊə": "UH R",
        "n̩": "AH N",
        "l̩": "AH L",
        "əl": "AH L",
    },
    **{"b": "B", "d": "D", "f": "F", "ɡ": "G", "g": "G", "h": "HH", "dʒ": "JH", "tʃ": "CH", "l": "L", "ɫ": "L"},
    **{"m": "M", "n": "N", "ŋ": "NG", "p": "P", "s": "S", "ʃ": "SH", "θ": "TH", "ð": "DH", "v": "V", "w": "W"},
    **{"z": "Z", "ʒ": "ZH", "j": "Y", "ɾ": "D", "ts": "T S"},
}
_IPA = re.compile("|".join(sorted(_PHONES, key=len, reverse=True)))

# One phone a letter: a last resort where eSpeak cannot be loaded.
_LETTERS = {
    **{"ch": "CH", "ck": "K", "ee": "IY", "ng": "NG", "oo": "UW", "ou": "AW", "ph": "F", "sh": "SH", "th": "TH"},
    **{"a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH"},
    **{"k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH"},
    **{"v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z"},
}
_SPELLING = re.compile("|".join(sorted(_LETTERS, key=len, reverse=True)))


def guess(word: str) -> list[str]:
    """Return how ``word`` may sound, likeliest first, each as ARPAbet phones with spaces between."""
    try:
        espeak = Espeak()
        guesses = [_from_ipa(espeak.phonemes(word, accent)) for accent in _ACCENTS]
    except (DuplexError, OSError):
        guesses = []
    guesses = guesses or [" ".join(_LETTERS[found] for found in _SPELLING.findall(word))]
    return [phones for phones in dict.fromkeys(guesses) if phones]


def _from_ipa(ipa: str) -> str:
    bare = re.sub(r"[ˈˌ_ ‿]", "", ipa)
    return " ".join(_PHONES[found] for found in _IPA.findall(bare))


def dictionary(words: Iterable[str], base: Path) -> str:
    """Return a pronunciation dictionary of ``words``; ``base`` is the acoustic model's, read for those it has.

    Words that nothing can pronounce are left out.
    """
    missing = set(words)
    wanted = frozenset(missing)
    lines = []
    with base.open(encoding="utf-8") as file:
        for line in file:
            entry = line.split(" ", 1)[0]
            word = entry.partition("(")[0]
            if word in wanted:
                missing.discard(word)
                lines.append(line.rstrip("\n"))
    for word in sorted(missing):
        for number, phones in enumerate(guess(word), 1):
            lines.append(f"{word} {phones}" if number == 1 else f"{word}({number}) {phones}")
    return "\n".join(lines) + "\n"
