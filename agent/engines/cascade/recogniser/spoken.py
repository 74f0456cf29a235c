"""Written text as the words people say: "$7.50" → seven dollars and fifty cents, "9:30 pm" → nine thirty p.m."""

import re
import unicodedata

from num2words import num2words

_ABBREVIATIONS = {
    "dr": "doctor",
    "mr": "mister",
    "mrs": "missus",
    "ms": "miz",
    "st": "saint",
    "ave": "avenue",
    "rd": "road",
    "blvd": "boulevard",
    "apt": "apartment",
    "ext": "extension",
    "dept": "department",
    "approx": "approximately",
    "etc": "et cetera",
    "vs": "versus",
    "inc": "incorporated",
    "ltd": "limited",
}
_UNITS = {
    "kg": "kilograms",
    "lb": "pounds",
    "lbs": "pounds",
    "km": "kilometers",
    "cm": "centimeters",
    "mm": "millimeters",
    "ft": "feet",
    "hr": "hour",
    "hrs": "hours",
    "min": "minutes",
    "mins": "minutes",
    "sq": "square",
    "gb": "gigabytes",
    "mb": "megabytes",
    "mbps": "megabits per second",
    "kwh": "kilowatt hours",
    "mph": "miles per hour",
}
_SIGNS = {"&": "and", "@": "at", "%": "percent", "+": "plus", "#": "number", "°": "degrees", "=": "equals", "/": "or"}
_CURRENCIES = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
_PLURALS = {"penny": "pence"}

_TOKEN = re.compile(
    r"(?P<money>[$€£]\s?\d[\d,]*(?:\.\d+)?)"
    r"|(?P<clock>\d{1,2}:\d{2})"
    r"|(?P<meridiem>\b(?:[ap]\.\s?m\b\.?|pm\b|(?<=\d)am\b|(?<=\d )am\b))"
    r"|(?P<identifier>\b[a-z]{1,4}-?\d[\da-z-]*\b)"
    r"|(?P<ordinal>\d+(?:st|nd|rd|th)\b)"
    r"|(?P<phone>\+?\d[\d().]*(?:[ -][\d().]{2,})+\d|\d{7,}|0\d+)"
    r"|(?P<number>\d[\d,]*(?:\.\d+)?)"
    r"|(?P<abbreviation>[a-z]+\.(?=\s+[\w$]))"
    r"|(?P<word>[a-z]+(?:'[a-z]+)*)"
    r"|(?P<sign>[&@%+#°=/])"
)


def spoken_words(text: str) -> list[str]:
    """Return the lower-case words of ``text`` as they are read aloud; punctuation is dropped, hyphens part words."""
    plain = unicodedata.normalize("NFKD", text.replace("’", "'").replace("‘", "'"))
    plain = "".join(char for char in plain if not unicodedata.combining(char)).lower()
    words: list[str] = []
    for found in _TOKEN.finditer(plain):
        words += _spoken(found.lastgroup or "", found.group())
    return words


def _spoken(kind: str, token: str) -> list[str]:
    if kind == "word":
        return _UNITS.get(token, token).split()
    if kind == "abbreviation":
        name = token.rstrip(".")
        return _UNITS.get(name, _ABBREVIATIONS.get(name, name)).split()
    if kind == "sign":
        return [_SIGNS[token]]
    if kind == "meridiem":
        return [f"{token[0]}.m."]
    if kind == "money":
        return _money(token)
    if kind == "clock":
        return _clock(token)
    if kind in ("phone", "identifier"):
        return _characters(token)
    if kind == "ordinal":
        return _spelt(num2words(int(token[:-2]), to="ordinal")) if len(token) < 12 else _characters(token)
    return _number(token)


def _spelt(text: str) -> list[str]:
    return [word for word in re.split(r"[^a-z']+", text.lower()) if word]


def _characters(token: str) -> list[str]:
    return [num2words(int(char)) if char.isdecimal() else char for char in token if char.isalnum()]


def _number(token: str) -> list[str]:
    whole, _, decimals = token.replace(",", "").partition(".")
    if len(whole) > 9:
        return _characters(token)
    value = int(whole)
    if 1_100 <= value < 2_100 and value % 1_000 >= 10 and "," not in token and not decimals:
        return _spelt(num2words(value, to="year"))
    words = _spelt(num2words(value))
    return [*words, "point", *_characters(decimals)] if decimals else words


def _money(token: str) -> list[str]:
    unit, part = _CURRENCIES[token[0]]
    whole, _, cents = token[1:].strip().replace(",", "").partition(".")
    words = [*_number(whole), unit if int(whole) == 1 else f"{unit}s"]
    count = int((cents + "0")[:2]) if cents else 0
    if count:
        words += ["and", *_number(str(count)), part if count == 1 else _PLURALS.get(part, f"{part}s")]
    return words


def _clock(token: str) -> list[str]:
    hour, minute = (int(part) for part in token.split(":"))
    words = _number(str(hour))
    if minute == 0:
        return words
    return [*words, *(["oh"] if minute < 10 else []), *_number(str(minute))]
