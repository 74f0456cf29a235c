"""Words as they are heard: figures written out, so that "$120" and "one hundred twenty dollars" are the same."""

import re

from num2words import num2words

_SIGNS = {"%": " percent ", "&": " and ", "a.m.": " am ", "p.m.": " pm ", "o'clock": " "}
_FIGURES = re.compile(
    r"\$(?P<dollars>\d[\d,]*)(?:\.(?P<cents>\d\d))?"
    r"|(?P<hour>\d{1,2}):(?P<minute>\d\d)"
    r"|(?P<phone>\d{3}(?:-\d{3,4})+)"
    r"|(?P<ordinal>\d+)(?:st|nd|rd|th)\b"
    r"|(?P<number>\d[\d,]*(?:\.\d+)?)"
)


def spoken_words(text: str) -> list[str]:
    """Return the lower-case words of ``text`` as an American voice would say them, without punctuation."""
    text = text.lower()
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    return re.findall(r"[a-z]+(?:'[a-z]+)*", _FIGURES.sub(lambda found: f" {_say(found)} ", text))


def _say(found: re.Match[str]) -> str:
    kind = found.lastgroup
    if found["dollars"]:
        dollars = f"{_number(found['dollars'])} {'dollar' if found['dollars'] == '1' else 'dollars'}"
        return f"{dollars} and {_number(found['cents'])} cents" if int(found["cents"] or 0) else dollars
    if found["hour"]:
        minute = int(found["minute"])
        lead = "oh " if 0 < minute < 10 else ""
        return f"{_number(found['hour'])} {lead}{_number(found['minute']) if minute else ''}"
    if kind == "phone":
        return " ".join(_number(digit) for digit in found["phone"] if digit.isdigit())
    if kind == "ordinal":
        return num2words(int(found["ordinal"]), to="ordinal")
    return _number(found["number"])


def _number(figures: str) -> str:
    plain = figures.replace(",", "")
    words = num2words(float(plain) if "." in plain else int(plain))
    return words.replace("-", " ").replace(",", "").replace(" and ", " ")
