"""Written text made speakable for a voice: amounts, times, dates, phone numbers, identifiers.

``Reply.text`` keeps the written form, which is logged and scored; a voice calls ``speakable`` on it
just before synthesis.

    "Open Mon-Fri from 7:30 a.m., $49.99." ─▶ "Open Monday to Friday from seven thirty a m,
                                               forty nine dollars and ninety nine cents."
"""

import re
from collections.abc import Callable
from re import Match

from num2words import num2words

_CURRENCIES = {"$": ("dollar", "dollars", "cent", "cents"), "€": ("euro", "euros", "cent", "cents")}
_CURRENCIES["£"] = ("pound", "pounds", "penny", "pence")
_DAYS = {"mon": "Monday", "tue": "Tuesday", "tues": "Tuesday", "wed": "Wednesday", "thu": "Thursday"}
_DAYS |= {"thur": "Thursday", "thurs": "Thursday", "fri": "Friday", "sat": "Saturday", "sun": "Sunday"}
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")
_MONTHS += ("November", "December")
_MONTH_SHORT = {month[:3].lower(): month for month in _MONTHS} | {"sept": "September"}
_DAY = "|".join(sorted(_DAYS, key=len, reverse=True))
_DAY_SHORT = "|".join(short.capitalize() for short in sorted(_DAYS, key=len, reverse=True))
_MONTH = "|".join([*_MONTHS, *(f"{short.capitalize()}(?=[. ])" for short in sorted(_MONTH_SHORT, key=len)[::-1])])
_UNITS = {"lb": "pounds", "lbs": "pounds", "oz": "ounces", "kg": "kilograms", "km": "kilometers", "mi": "miles"}
_UNITS |= {"min": "minutes", "mins": "minutes", "hr": "hours", "hrs": "hours", "sec": "seconds", "ft": "feet"}
_UNITS |= {"in": "inches", "cm": "centimeters", "mm": "millimeters", "sq": "square", "mbps": "megabits per second"}
_UNITS |= {"gb": "gigabytes", "mb": "megabytes", "gbps": "gigabits per second", "kwh": "kilowatt hours"}
_ABBREVIATIONS = {"Dr.": "Doctor", "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "No.": "number", "approx.": "about"}
_ABBREVIATIONS |= {"Ave.": "Avenue", "Blvd.": "Boulevard", "Rd.": "Road", "Apt.": "apartment", "Inc.": "Incorporated"}
_ABBREVIATIONS |= {"e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus", "Ltd.": "Limited"}
_SAINT = re.compile(r"\bSt\.?(?=\s+[A-Z])")
_SYMBOLS = {"&": " and ", "+": " plus ", "=": " equals ", "#": " number ", "/": " ", "*": " ", "~": " about "}


def speakable(text: str) -> str:
    """Return ``text`` with everything a speech synthesiser may misread written out as English words.

    "$49.99" becomes "forty nine dollars and ninety nine cents". Never raises; what is not recognised
    stays as it is, and text without digits or symbols comes back as it was.
    """
    for pattern, say in _STEPS:
        text = pattern.sub(say, text)
    return re.sub(r"\s+([.,!?;:])", r"\1", re.sub(r"\s+", " ", text)).strip()


def _cardinal(digits: str) -> str:
    """Return "1,250" or "2.5" in words, without hyphens and without "and"."""
    digits = digits.replace(",", "")
    if len(digits.partition(".")[0]) > 15:
        return _digits(digits)
    whole, _, decimals = digits.partition(".")
    words = re.sub(r",|-|\band\b", " ", num2words(int(whole or "0")))
    return " ".join(words.split()) + (f" point {_digits(decimals)}" if decimals else "")


def _ordinal(number: str) -> str:
    return re.sub(r",|-|\band\b", " ", num2words(int(number), to="ordinal"))


def _digits(text: str) -> str:
    """Return letters and digits one by one: "HD22" → "H D two two"."""
    return " ".join(num2words(int(char)) if char.isdecimal() else char.upper() for char in text if char.isalnum())


def _year(text: str) -> str:
    number = int(text)
    if number % 1000 < 10 or not 1100 <= number < 2100:
        return _cardinal(text)
    low = number % 100
    tail = "hundred" if low == 0 else f"oh {_cardinal(str(low))}" if low < 10 else _cardinal(str(low))
    return f"{_cardinal(str(number // 100))} {tail}"


def _amount(match: Match[str]) -> str:
    """ "$1,250.50" → "one thousand two hundred fifty dollars and fifty cents"; "$2.5 million" → "… dollars"."""
    one, many, cent, cents = _CURRENCIES[match["sign"]]
    digits, scale = match["digits"].replace(",", ""), match["scale"]
    if scale:
        return f"{_cardinal(digits)} {scale.lower()} {many}"
    whole, _, part = digits.partition(".")
    part = (part + "0")[:2] if part else ""
    said = [f"{_cardinal(whole)} {one if int(whole) == 1 else many}"] if int(whole) or not int(part or 0) else []
    if int(part or 0):
        said.append(f"{_cardinal(part.lstrip('0'))} {cent if int(part) == 1 else cents}")
    return " and ".join(said)


def _clock(match: Match[str]) -> str:
    """ "7:30 a.m." → "seven thirty a m"; "8:00" → "eight o'clock"; "08:05" → "eight oh five"."""
    hour, minute = int(match["hour"]), match["minute"]
    half = (match["half"] or "").lower().replace(".", "")
    said = [_cardinal(str(hour))]
    if minute and minute != "00":
        said.append(f"oh {_cardinal(minute[1])}" if minute[0] == "0" else _cardinal(minute))
    elif minute and not half:
        said.append("o'clock" if 0 < hour <= 12 else "hundred")
    said.extend(half)
    stop = "." if (match["half"] or "").endswith(".") and _ends_sentence(match) else ""
    return " ".join(said) + stop


def _ends_sentence(match: Match[str]) -> bool:
    after = match.string[match.end() :]
    return not after.strip() or bool(re.match(r"\s+[A-Z]", after))


def _day_range(match: Match[str]) -> str:
    first, last = (_DAYS.get(match[n].lower().rstrip("."), match[n]) for n in (1, 2))
    return f"{first} to {last}"


def _day(match: Match[str]) -> str:
    return _DAYS[(match[1] or match[2]).lower()] + ("." if match[1] and _ends_sentence(match) else "")


def _date(match: Match[str]) -> str:
    month = _MONTH_SHORT.get(match["month"].lower().rstrip("."), match["month"])
    year = f", {_year(match['year'])}" if match["year"] else ""
    return f"{month} {_ordinal(match['day'])}{year}"


def _iso_date(match: Match[str]) -> str:
    year, month, day = match[1], int(match[2]), match[3]
    if not 1 <= month <= 12:
        return _digits(match[0])
    return f"{_MONTHS[month - 1]} {_ordinal(day)}, {_year(year)}"


def _email(match: Match[str]) -> str:
    said = match[0].replace("@", " at ").replace(".", " dot ").replace("-", " dash ").replace("_", " underscore ")
    return re.sub(r"\d", lambda digit: f" {_digits(digit[0])} ", said)


def _web(match: Match[str]) -> str:
    said = re.sub(r"^www\.", "double u double u double u dot ", match["host"]) + (match["path"] or "")
    return said.replace(".", " dot ").replace("/", " slash ").replace("-", " dash ")


def _groups(match: Match[str]) -> str:
    """A phone number or identifier, its groups apart by commas: "555-0119" → "five five five, zero one one nine"."""
    if len(match[0]) <= 3:
        return _digits(match[0])
    plus = "plus " if match[0].startswith("+") else ""
    return plus + ", ".join(_digits(group) for group in re.findall(r"[A-Za-z]+(?=\d)|[A-Za-z]+|\d+", match[0]))


def _measure(match: Match[str]) -> str:
    unit = _UNITS[match["unit"].lower()]
    if match["digits"] == "1":
        unit = "foot" if unit == "feet" else "inch" if unit == "inches" else unit.removesuffix("s")
    return f"{_cardinal(match['digits'])} {unit}"


def _house_number(match: Match[str]) -> str:
    """ "1850 Harbor Street" → "eighteen fifty"; a house number of four digits is said in pairs."""
    return f"{_cardinal(match[1])} {_cardinal(match[2]) if match[2][0] != '0' else 'oh ' + _cardinal(match[2][1])}"


_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_HALF = r"[ap]\.?\s?m\b\.?"
_STREETS = "Street|St|Avenue|Ave|Road|Rd|Lane|Drive|Boulevard|Blvd|Way|Court|Square|Place|Parkway|Highway"

_Step = tuple[re.Pattern[str], Callable[[Match[str]], str]]
_STEPS: tuple[_Step, ...] = (
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), _email),
    (
        re.compile(
            r"\b(?:https?://)?(?P<host>(?:[a-z0-9-]+\.)+(?:com|org|net|io|co|gov|edu|example))\b(?P<path>/[\w/-]+)?"
        ),
        _web,
    ),
    (re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b"), _iso_date),
    (
        re.compile(
            rf"(?P<sign>[$€£])\s?(?P<digits>{_NUMBER})(?:\s(?P<scale>hundred|thousand|million|billion)\b)?", re.I
        ),
        _amount,
    ),
    (re.compile(r"(?:(?<=[ap]\.m\.)|(?<=[ap]m))\s?[-–]\s?(?=\d)"), lambda _: " to "),
    (re.compile(rf"(?P<hour>\b\d{{1,2}})(?::(?P<minute>[0-5]\d))?\s?(?P<half>{_HALF})", re.I), _clock),
    (re.compile(r"\b(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)\b(?P<half>)"), _clock),
    (
        re.compile(rf"\b(?P<month>{_MONTH})\.?\s+(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b(?:,?\s+(?P<year>[12]\d{{3}})\b)?"),
        _date,
    ),
    (re.compile(rf"\b({_DAY})\.?\s?[-–]\s?({_DAY})\b\.?", re.I), _day_range),
    (re.compile(rf"\b({_DAY_SHORT})\.(?=\s|$)|\b(Mon|Tue|Tues|Wed|Thu|Thur|Thurs|Fri)\b"), _day),
    (
        re.compile(
            r"(?:\+\d{1,3}[ -]?)?(?:\(\d{3}\)\s?|\b\d{3}[-. ])?\b\d{3}[-.]\d{4}\b|\+\d{7,15}\b|\b1-\d{3}-\d{3}-\d{4}\b"
        ),
        _groups,
    ),
    (re.compile(r"\b(?=[A-Z0-9-]*\d)(?=[A-Z0-9-]*[A-Z])[A-Z0-9]+(?:-[A-Z0-9]+)*\b"), _groups),
    (re.compile(r"(?<=\b[A-Z]{2} )\d{5}\b|(?<![\d.,])(?:\d{7,}|0\d+)\b"), lambda m: _digits(m[0])),
    (re.compile(rf"({_NUMBER})\s?%"), lambda m: f"{_cardinal(m[1])} percent"),
    (re.compile(r"\b(\d+)(?:st|nd|rd|th)\b"), lambda m: _ordinal(m[1])),
    (
        re.compile(rf"\b(?P<digits>{_NUMBER})\s?(?P<unit>(?i:{'|'.join(u for u in _UNITS if u != 'in')}))\b\.?"),
        _measure,
    ),
    (re.compile(r"\b24/7\b"), lambda _: "twenty four seven"),
    (re.compile(rf"({_NUMBER})\s?[-–]\s?(?={_NUMBER})"), lambda m: f"{_cardinal(m[1])} to "),
    (
        re.compile(rf"\b([1-9]\d)(\d\d)\b(?=\s+(?:[NSEW]\.?\s+)?(?:[A-Z][\w']+\s+){{1,3}}(?:{_STREETS})\b)"),
        _house_number,
    ),
    (re.compile(r"\b(?:19\d\d|20[1-9]\d)\b(?![,.]?\d)"), lambda m: _year(m[0])),
    (re.compile(_NUMBER), lambda m: _cardinal(m[0])),
    (
        re.compile("|".join(rf"(?<!\w){re.escape(short)}(?=\s|$)" for short in _ABBREVIATIONS)),
        lambda m: _ABBREVIATIONS[m[0]],
    ),
    (_SAINT, lambda _: "Saint"),
    (re.compile(r"(?<=[a-z])\s+St\.?(?=[\s,.]|$)"), lambda _: " Street"),
    (re.compile("[" + re.escape("".join(_SYMBOLS)) + "]"), lambda m: _SYMBOLS[m[0]]),
    (re.compile(r"\s[-–—]+\s|—"), lambda _: ", "),
)
