"""Phone numbers as people write them, read as calls bring them: E.164."""

import re
import unicodedata

from personas.errors import BadNumber
from personas.numbers import check_number

LONGEST = 256  # as long as a caller's address may be
_TRUNK_ZERO = re.compile(r"\(0\)")  # +49 (0)30 …: dialled at home only
_SEPARATORS = re.compile(r"[\s().\-/\u2010-\u2015\u2212]")


def e164(text: str) -> str:
    """Return a number in E.164 from how people write it: +49 …, 0049 …, with spaces, dashes, slashes, "(0)".

    Raises:
        BadNumber: it has no country code, or is no number.
    """
    plain = _SEPARATORS.sub("", _TRUNK_ZERO.sub("", readable(text).removeprefix("tel:")))
    return check_number("+" + plain[2:] if plain.startswith("00") else plain)


def caller_of(text: str) -> str:
    """Return a caller as calls have them: a number in E.164, an address of SIP or a client's name; "" for neither."""
    try:
        return e164(text)
    except BadNumber:
        plain = readable(text)
        return plain if "@" in plain or ":" in plain else ""


def is_e164(number: str) -> bool:
    """Whether a caller's number is one: it may be withheld, or an address of SIP."""
    try:
        return check_number(number) == number
    except BadNumber:
        return False


def readable(text: str) -> str:
    """Return text without what can't be seen: numbers that are copied bring marks of direction with them."""
    shown = unicodedata.normalize("NFKC", text)[:LONGEST]
    return "".join(each for each in shown if unicodedata.category(each) not in ("Cf", "Cc")).strip()
