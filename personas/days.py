"""Where days begin in a time zone, and days as people type them."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo


def begin_of(day: date, zone: tzinfo) -> datetime:
    """Return the moment (UTC) at which a day begins; where clocks skip its midnight, the moment at which they do.

    Raises:
        OverflowError: there is none, before the year 1 or after 9999.
    """
    # Of a midnight that is skipped, Python takes the offset before (PEP 495): that is the moment of the skip. Of one
    # that comes twice it takes the first.
    return datetime.combine(day, time(), zone).astimezone(UTC)


def begin_of_typed(day: str, zone: tzinfo, *, after: int = 0) -> datetime | None:
    """Return the moment at which the day ``after`` days after a typed one begins, None where nothing was typed.

    Raises:
        ValueError: it is no day; the message says how one is written.
    """
    try:
        return begin_of(date.fromisoformat(day) + timedelta(after), zone) if day else None
    except (ValueError, OverflowError):
        raise ValueError("A day is written like 2026-11-21.") from None
