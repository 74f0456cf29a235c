"""What a customer is, and what of one can be kept."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from crm.errors import BadCustomer
from crm.phone_numbers import e164
from personas.errors import BadNumber
from personas.prompt import MOST_PROFILE_BYTES

MOST_NUMBERS, LONGEST_NAME = 10, 200
_BETWEEN_NUMBERS = re.compile(r"[,;|\n]")


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who calls: from ``numbers`` (E.164, one at least), and what agents are told of them.

    ``name`` is one line; ``profile`` text that goes into the role prompt. One of the two may be empty. ``id`` is 0
    where it is not kept yet.
    """

    numbers: tuple[str, ...]
    name: str = ""
    profile: str = ""
    id: int = 0
    updated_at: datetime | None = None

    @property
    def base(self) -> str:
        """16 hex digits that tell one state of a customer from another."""
        return sha256(repr((sorted(self.numbers), self.name, self.profile)).encode()).hexdigest()[:16]


def customer(numbers: str, name: str, profile: str, id: int = 0) -> Customer:
    """Return a customer as people type one; numbers stand one a line, or with commas, semicolons or bars between.

    Raises:
        BadCustomer: naming the field and the remedy.
    """
    found = Customer(read_numbers(numbers), read_name(name), read_profile(profile), id)
    if not found.name and not found.profile:
        raise BadCustomer("name", "is empty, and so is the profile; give one of them")
    return found


def read_numbers(text: str) -> tuple[str, ...]:
    """Return numbers in E.164, each once; raises BadCustomer."""
    try:
        numbers = tuple(dict.fromkeys(e164(part) for part in _BETWEEN_NUMBERS.split(text) if part.strip()))
    except BadNumber:
        hint = "with country code, e.g. +49 30 1234567 or 0049 30 1234567"
        raise BadCustomer("numbers", f"one of them can't be dialled from everywhere; write it {hint}") from None
    if not 1 <= len(numbers) <= MOST_NUMBERS:
        raise BadCustomer("numbers", f"there are {len(numbers) or 'none'}; give 1 to {MOST_NUMBERS}")
    return numbers


def read_name(text: str) -> str:
    """Return a name, one line; raises BadCustomer."""
    name = " ".join(_printable("name", text).split())
    if len(name) > LONGEST_NAME:
        raise BadCustomer("name", f"has {len(name)} characters; {LONGEST_NAME} are the most")
    return name


def read_profile(text: str) -> str:
    """Return a profile; raises BadCustomer."""
    profile = _printable("profile", text.replace("\r\n", "\n")).strip()
    size = len(unicodedata.normalize("NFKC", profile).encode())
    if size > MOST_PROFILE_BYTES:
        raise BadCustomer(
            "profile",
            f"has {size} bytes, of which a role prompt takes {MOST_PROFILE_BYTES} (a letter of English is one, others "
            "are two to four); keep what the agent needs in the call",
        )
    return profile


def name_key(name: str) -> str:
    """Return what a name is sorted and looked for by: without case and accents, as long as an index bears."""
    bare = (each for each in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(each))
    return "".join(bare)[:LONGEST_NAME]


def _printable(field: str, text: str) -> str:
    """Refuse what no database or page shows: NUL and its like, and halves of characters."""
    for each in text:
        if unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t\r":
            raise BadCustomer(field, f"holds the character U+{ord(each):04X}, which can't be shown; remove it")
    return text
