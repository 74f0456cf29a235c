"""Numbers in speech: tokens of a text, runs of number words made into one number each."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"\$|%|\d{1,2}:\d{2}|\d+(?:st|nd|rd|th)\b|\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|[A-Za-z]+(?:['’][A-Za-z]+)*",
)
_SMALL = str.split(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_UNITS = {word: value for value, word in enumerate(_SMALL)}
_TENS = {w: 10 * v for v, w in enumerate(str.split("twenty thirty forty fifty sixty seventy eighty ninety"), 2)}
_BIG = {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
_NTH = str.split(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_ORDINALS = {word: value for value, word in enumerate(_NTH, 1)} | {"thirtieth": 30}


@dataclass(frozen=True, slots=True)
class Item:
    """A word, sign or number of a text with its place; ``digits`` as written, or of one digit word."""

    text: str
    start: int
    end: int
    number: float | None = None
    digits: str = ""
    ordinal: bool = False


def numbered(text: str) -> list[Item]:
    """Return the tokens of a text, each number as one: "one hundred and twenty" is 120, "six thirty" is 6 and 30."""
    tokens = [Item(found[0].lower().replace("’", "'"), found.start(), found.end()) for found in _TOKEN.finditer(text)]
    items, position = [], 0
    while position < len(tokens):
        token = tokens[position]
        if token.text[0].isdigit() and ":" not in token.text:
            items.append(_written(token))
            position += 1
            continue
        length, number, ordinal = _spoken(tokens, position)
        if length:
            last = tokens[position + length - 1]
            digits = f"{int(number)}" if length == 1 and number < 10 else ""
            items.append(Item(text[token.start : last.end].lower(), token.start, last.end, number, digits, ordinal))
            position += length
        else:
            items.append(token)
            position += 1
    return items


def _written(token: Item) -> Item:
    ordinal = token.text[-1].isalpha()
    digits = token.text.rstrip("stndrh").replace(",", "")
    return Item(token.text, token.start, token.end, float(digits), "" if "." in digits or ordinal else digits, ordinal)


def _spoken(tokens: list[Item], start: int) -> tuple[int, float, bool]:
    """Read number words: how many, their value, whether it is an ordinal; (0, …) where there are none."""
    total = current = 0.0
    position, last = start, ""
    while position < len(tokens):
        word = tokens[position].text
        kind = _kind(word, last)
        if not kind:
            break
        if kind == "and":
            if position + 1 >= len(tokens) or _kind(tokens[position + 1].text, "hundred") not in (
                "unit",
                "tens",
                "nth",
            ):
                break
        elif kind == "nth":
            return position + 1 - start, total + current + _ORDINALS[word], True
        elif kind == "big" and word != "hundred":
            total, current = total + max(1, current) * _BIG[word], 0
        elif kind == "big":
            current = max(1, current) * 100
        else:
            current += _UNITS.get(word, 0) + _TENS.get(word, 0)
        last = word
        position += 1
    if position == start:
        return 0, 0.0, False
    more, fraction = _fraction(tokens, position)
    return position + more - start, total + current + fraction, False


def _kind(word: str, last: str) -> str:
    """What a word may be after ``last`` in one number: unit, tens, nth, big, and; "" if it starts another."""
    after_tens, after_big = last in _TENS, last in _BIG
    if word in _UNITS:
        fits = not last or after_big or last == "and" or (after_tens and 0 < _UNITS[word] < 10)
        return "unit" if fits else ""
    if word in _TENS:
        return "tens" if not last or after_big or last == "and" else ""
    if word in _ORDINALS:
        fits = (not last and word != "second") or after_big or last == "and" or (after_tens and _ORDINALS[word] < 10)
        return "nth" if fits else ""
    if word in _BIG:
        return "big" if last and last != "and" else ""
    return "and" if word == "and" and after_big else ""


def _fraction(tokens: list[Item], position: int) -> tuple[int, float]:
    """Read "point nine five" after a number: how many words, and 0.95."""
    if position >= len(tokens) or tokens[position].text != "point":
        return 0, 0.0
    digits = ""
    for token in tokens[position + 1 :]:
        if token.text not in _UNITS or _UNITS[token.text] > 9:
            break
        digits += str(_UNITS[token.text])
    return (1 + len(digits), float(f"0.{digits}")) if digits else (0, 0.0)
