"""When a number is answered: weekly opening hours in a place's own time.

"Mon-Fri 08:00-20:00, Sat 10:00-14:00" + "Europe/Berlin" ──▶ OpeningHours ──is_open──▶ yes | no
"""

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from personas.errors import BadNumberSetting

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? ([0-9]{2}:[0-9]{2})-([0-9]{2}:[0-9]{2})")
_MIDNIGHT = "24:00"


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """``spans`` are (weekday, from, until): weekday 0 is Monday, ``until`` None is the end of the day."""

    spans: tuple[tuple[int, time, time | None], ...]
    zone: ZoneInfo

    def is_open(self, at: datetime) -> bool:
        """Return whether ``at``, any moment with a time zone, is within the hours."""
        local = at.astimezone(self.zone)
        now = local.time()
        return any(
            day == local.weekday() and begin <= now and (end is None or now < end) for day, begin, end in self.spans
        )


def opening_hours(text: str, timezone: str) -> OpeningHours | None:
    """Return the hours written as "Mon-Fri 08:00-20:00, Sat 10:00-14:00"; None for "": always open.

    A day may be given several times. 24:00 is the end of a day; a span over midnight is written as two.

    Raises:
        BadNumberSetting: naming the part that can't be read, or a time zone that is not IANA's.
    """
    if not text.strip():
        return None
    try:
        zone = ZoneInfo(timezone)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        given = f"{timezone!r} is none" if timezone else "say which"
        raise BadNumberSetting(
            f"The opening hours need an IANA time zone such as Europe/Berlin; {given}.", "timezone"
        ) from None
    spans = [span for part in text.split(",") for span in _spans(" ".join(part.split()))]
    return OpeningHours(tuple(spans), zone)


def _spans(part: str) -> list[tuple[int, time, time | None]]:
    found = _SPAN.fullmatch(part.lower())
    first, last, begin, end = found.groups() if found else ("", "", "", "")
    try:
        from_day = DAYS.index(first)
        to_day = DAYS.index(last) if last else from_day
        begins = time.fromisoformat(begin)
        ends = None if end == _MIDNIGHT else time.fromisoformat(end)
        if to_day < from_day or (ends is not None and ends <= begins):
            raise ValueError
    except ValueError:
        raise BadNumberSetting(
            f"The opening hours {part!r} can't be read; write them like Mon-Fri 08:00-20:00, Sat 10:00-14:00, "
            "each span within one day.",
            "hours",
        ) from None
    return [(day, begins, ends) for day in range(from_day, to_day + 1)]
