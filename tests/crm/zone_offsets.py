"""A time zone's offsets over a stretch of time, for databases that have no rules of their own, or older ones."""

from datetime import UTC, datetime, timedelta, tzinfo

_DAY_S = 86_400


def offsets(zone: tzinfo, first: datetime, last: datetime) -> list[tuple[datetime, timedelta]]:
    """Return (from when, offset to UTC) for each stretch of one offset from ``first`` to ``last``, oldest first."""
    at_s, last_s = int(first.timestamp()), int(last.timestamp())
    found = [(first, _offset(zone, at_s))]
    while at_s < last_s:
        after_s = min(at_s + _DAY_S, last_s)
        if _offset(zone, after_s) != found[-1][1]:
            after_s = _change(zone, at_s, after_s)
            found.append((datetime.fromtimestamp(after_s, UTC), _offset(zone, after_s)))
        at_s = after_s
    return found


def _change(zone: tzinfo, before_s: int, after_s: int) -> int:
    """Return the first second at which the offset is no longer that of ``before_s``."""
    old = _offset(zone, before_s)
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        before_s, after_s = (middle_s, after_s) if _offset(zone, middle_s) == old else (before_s, middle_s)
    return after_s


def _offset(zone: tzinfo, at_s: int) -> timedelta:
    return datetime.fromtimestamp(at_s, zone).utcoffset() or timedelta()
