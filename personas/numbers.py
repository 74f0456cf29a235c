"""Phone numbers as the carrier writes them, E.164, and what each is set to."""

import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

from personas.errors import BadNumber, BadNumberSetting
from personas.hours import opening_hours

OnFull = Literal["busy", "wait", "human"]
ON_FULL: tuple[OnFull, ...] = ("busy", "wait", "human")
OPEN, VOICEMAIL, MESSAGE = "open", "voicemail", "message"
LONGEST_WAIT_S = 600

_ALWAYS = "Mon-Sun 00:00-24:00"  # to have the time zone looked at where no hours are given
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_QUEUE = re.compile(r"[A-Za-z0-9 _\-]{0,64}")


@dataclass(frozen=True, slots=True)
class NumberSettings:
    """A phone number (E.164), the slug of the persona that answers it, and what happens where that can't.

    ``human_number`` (E.164 or "") is dialled where a human is wanted; ``on_full`` says what the caller meets when the
    engine has no slot: a sentence, a wait of at most ``wait_limit_s``, or the human. ``hours`` are as in
    ``personas.hours`` with ``timezone`` by IANA; outside of them ``out_of_hours`` is open (as ever), voicemail,
    message (a sentence), or the slug of another persona. ``queue_name`` is the carrier's queue for hand-offs.
    """

    number: str
    persona_slug: str
    human_number: str = ""
    on_full: OnFull = "busy"
    wait_limit_s: int = 120
    hours: str = ""
    timezone: str = ""
    out_of_hours: str = OPEN
    queue_name: str = ""

    def is_open(self, at: datetime) -> bool:
        """Return whether the number's hours include ``at``; raises BadNumberSetting where they can't be read."""
        hours = opening_hours(self.hours, self.timezone)
        return hours is None or hours.is_open(at)


def settings_hash(settings: NumberSettings) -> str:
    """Return 16 hex digits that tell one state of a number from another."""
    return sha256(repr(settings).encode()).hexdigest()[:16]


def check_settings(settings: NumberSettings) -> None:
    """Check everything but that the personas exist.

    Raises:
        BadNumber: a number is not E.164.
        BadNumberSetting: naming the setting and the remedy.
    """
    for field in ("number", "human_number"):
        number = getattr(settings, field)
        if (number or field == "number") and check_number(number, field) != number:
            raise BadNumber("A phone number is kept without spaces, dots, dashes and brackets.", field)
    opening_hours(settings.hours or (_ALWAYS if settings.timezone else ""), settings.timezone)
    if settings.on_full not in ON_FULL:
        raise BadNumberSetting(f"on-full is one of {', '.join(ON_FULL)}.", "on_full")
    if settings.on_full == "human" and not settings.human_number:
        text = "Callers who meet a human when all lines are taken need a number to dial (--human)."
        raise BadNumberSetting(text, "human_number")
    if settings.human_number == settings.number:
        text = "The human's number is the number itself: calls would go round in a circle."
        raise BadNumberSetting(text, "human_number")
    if not 5 <= settings.wait_limit_s <= LONGEST_WAIT_S:
        raise BadNumberSetting(f"The wait limit is 5 to {LONGEST_WAIT_S} seconds.", "wait_limit_s")
    if not _QUEUE.fullmatch(settings.queue_name):
        text = "A queue's name has at most 64 letters, digits, spaces, dashes and underscores."
        raise BadNumberSetting(text, "queue_name")


def check_number(number: str, field: str = "number") -> str:
    """Return the number in E.164, without the spaces, dots, dashes and brackets that people put into it.

    Raises:
        BadNumber: it is not E.164; of ``field``.
    """
    plain = re.sub(r"[\s().\-]", "", number)
    if not _E164.fullmatch(plain):
        raise BadNumber("A phone number needs its + and country code, 7 to 15 digits in all, e.g. +15550100.", field)
    return plain
