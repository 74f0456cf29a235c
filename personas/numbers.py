"""Phone numbers as the carrier writes them: E.164."""

import re

from personas.errors import BadNumber

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def check_number(number: str) -> str:
    """Return the number in E.164, without the spaces, dots, dashes and brackets that people put into it.

    Raises:
        BadNumber: it is not E.164.
    """
    plain = re.sub(r"[\s().\-]", "", number)
    if not _E164.fullmatch(plain):
        raise BadNumber("A phone number needs its + and country code, 7 to 15 digits in all, e.g. +15550100.")
    return plain
