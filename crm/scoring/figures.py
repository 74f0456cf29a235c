"""Figures in speech: amounts, percentages, dates, times, durations, phone numbers, from digits or words.

"one hundred and twenty dollars" ─▶ numbers with their places ─▶ Mention(AMOUNT, 12000 cents, place)
"""

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from crm.scoring.numbers import Item, numbered
from personas.persona import FactKind

WEEKDAYS: list[str] = str.split("monday tuesday wednesday thursday friday saturday sunday")
_MONTHS: list[str] = str.split("january february march april may june july august september october november december")
_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_SECONDS |= {"month": 30 * 86_400, "year": 365 * 86_400}
_MERIDIEM = re.compile(r"\s*([ap])\.?\s?m\b\.?", re.IGNORECASE)
_FREE = re.compile(
    r"\b(?:(?:is|are|it's|that's|for) free|free of charge|no (?:extra )?(?:charge|cost|fee))\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Mention:
    """A figure in a text: amounts are cents, percentages numbers, durations seconds, times (minutes of a half day,
    am | pm | ""), phone numbers digits, dates ("weekday", 0-6, weeks | 0), ("day", month, day) or ("nth", day).

    ``loose`` ones may be something else: they can show that a fact was stated, not that it was contradicted.
    """

    kind: FactKind
    value: Hashable
    start: int
    end: int
    loose: bool = False


def mentions(text: str) -> list[Mention]:
    """Return every figure of a text by its place. A figure has one kind, but for loose readings."""
    items = numbered(text)
    found: list[Mention] = []
    taken: set[int] = set()
    for read in (_phones, _amounts, _percentages, _times, _dates, _durations):
        for mention, used in read(items, text):
            if not mention.loose and taken & used:
                continue
            found.append(mention)
            taken |= set() if mention.loose else used
    for position, item in enumerate(items):
        if item.number is not None and position not in taken and not item.ordinal:
            found.append(Mention(FactKind.QUANTITY, item.number, item.start, item.end))
    return sorted(found, key=lambda mention: (mention.start, mention.end))


def same(one: Mention, other: Mention) -> bool:
    """Return whether two mentions of one kind mean the same."""
    if one.kind != other.kind:
        return False
    match one.value, other.value:
        case (int(a), str(b)), (int(c), str(d)) if one.kind == FactKind.TIME:
            return a == c and (b == d or not b or not d)
        case ("weekday", a, b), ("weekday", c, d):
            return a == c and (b == d or not b or not d)
        case ("nth", a), ("day", _, b):
            return a == b
        case ("day", _, a), ("nth", b):
            return a == b
        case str(a), str(b):
            return a[-7:] == b[-7:]
    return one.value == other.value


Found = Iterator[tuple[Mention, set[int]]]


def _at(items: list[Item], position: int) -> Item:
    return items[position] if 0 <= position < len(items) else Item("", 0, 0)


def _phones(items: list[Item], text: str) -> Found:
    position = 0
    while position < len(items):
        digits, end = "", position
        while end < len(items):
            piece = _phone_piece(items, end, text)
            if not piece:
                break
            digits += piece[0]
            end += piece[1]
        if len(digits) >= 7:
            yield Mention(FactKind.PHONE, digits, items[position].start, items[end - 1].end), set(range(position, end))
        position = max(end, position + 1)


def _phone_piece(items: list[Item], position: int, text: str) -> tuple[str, int] | None:
    item, after = items[position], _at(items, position + 1)
    if position and text[items[position - 1].end : item.start].strip(" -.()+"):
        pass  # a comma between groups is how people write what they say slowly
    if item.text in ("oh", "o"):
        return "0", 1
    if item.text in ("double", "triple") and len(after.digits) == 1:
        return after.digits * (2 if item.text == "double" else 3), 2
    return (item.digits, 1) if item.digits else None


def _amounts(items: list[Item], text: str) -> Found:
    for position, item in enumerate(items):
        if item.text == "$" and (value := _at(items, position + 1).number) is not None:
            yield _amount(items, position, position + 1, round(value * 100))
        elif item.number is not None and not item.ordinal:
            yield from _spoken_amount(items, position)
    for found in _FREE.finditer(text):
        yield Mention(FactKind.AMOUNT, 0, found.start(), found.end()), set()


def _spoken_amount(items: list[Item], position: int) -> Found:
    number, after, then = items[position].number or 0.0, _at(items, position + 1), _at(items, position + 2)
    if after.text in ("dollar", "dollars", "bucks"):
        last, cents = position + 1, round(number * 100)
        skip = position + 3 if then.text == "and" else position + 2
        more = _at(items, skip)
        if more.number is not None and more.number < 100 and (then.text != "and" or _is_cents(_at(items, skip + 1))):
            last, cents = skip + _is_cents(_at(items, skip + 1)), cents + round(more.number)
        yield _amount(items, position, last, cents)
    elif _is_cents(after):
        yield _amount(items, position, position + 1, round(number))
    elif after.number is not None and 10 <= after.number < 100 and number >= 1:
        # "twenty-seven fifty", "one twenty": perhaps a price.
        for cents in {round(number * 100 + after.number), round((number * 100 + after.number) * 100)}:
            yield Mention(FactKind.AMOUNT, cents, items[position].start, after.end, loose=True), set()


def _is_cents(item: Item) -> bool:
    return item.text in ("cent", "cents")


def _amount(items: list[Item], first: int, last: int, cents: int) -> tuple[Mention, set[int]]:
    place = Mention(FactKind.AMOUNT, cents, items[first].start, items[last].end)
    return place, set(range(first, last + 1))


def _percentages(items: list[Item], text: str) -> Found:
    for position, item in enumerate(items):
        after = _at(items, position + 1)
        is_per_cent = after.text == "per" and _at(items, position + 2).text == "cent"
        if item.number is not None and (after.text in ("%", "percent") or is_per_cent):
            last = position + (2 if is_per_cent else 1)
            yield (
                Mention(FactKind.PERCENTAGE, round(item.number, 4), item.start, items[last].end),
                set(range(position, last + 1)),
            )


def _times(items: list[Item], text: str) -> Found:
    for position, item in enumerate(items):
        if item.text in ("noon", "midnight"):
            yield Mention(FactKind.TIME, (0, "pm" if item.text == "noon" else "am"), item.start, item.end), {position}
        elif ":" in item.text:
            hour, minute = (int(part) for part in item.text.split(":"))
            yield _time(items, position, position, hour, minute, text)
        elif item.number is not None and item.number in range(1, 13) and not item.ordinal:
            yield from _spoken_time(items, position, text)


def _spoken_time(items: list[Item], position: int, text: str) -> Found:
    hour, after = int(items[position].number or 0), _at(items, position + 1)
    if _MERIDIEM.match(text, items[position].end) or after.text in ("o'clock", "oclock"):
        yield _time(items, position, position, hour, 0, text)
    elif after.number is not None and after.number < 60 and _MERIDIEM.match(text, after.end):
        yield _time(items, position, position + 1, hour, int(after.number), text)
    else:
        # The first of "nine to four p.m."
        second = _at(items, position + (2 if after.text in ("to", "until", "till", "through") else 1))
        if second.number is not None and _MERIDIEM.match(text, second.end):
            yield _time(items, position, position, hour, 0, text)


def _time(items: list[Item], first: int, last: int, hour: int, minute: int, text: str) -> tuple[Mention, set[int]]:
    found = _MERIDIEM.match(text, items[last].end)
    end = found.end() if found else items[last].end
    meridiem = f"{found[1].lower()}m" if found else ("pm" if hour > 12 else "")
    return Mention(FactKind.TIME, (hour % 12 * 60 + minute, meridiem), items[first].start, end), set(
        range(first, last + 1)
    )


def _dates(items: list[Item], text: str) -> Found:
    for position, item in enumerate(items):
        name = item.text.removesuffix("'s")
        singular = name.removesuffix("s")
        before, after = _at(items, position - 1), _at(items, position + 1)
        if singular in WEEKDAYS or name in WEEKDAYS:
            day = WEEKDAYS.index(str(singular if singular in WEEKDAYS else name))
            yield Mention(FactKind.DATE, ("weekday", day, _weeks(items, position)), item.start, item.end), {position}
        elif name in _MONTHS and after.number is not None and after.number <= 31:
            month = _MONTHS.index(name) + 1
            yield (
                Mention(FactKind.DATE, ("day", month, int(after.number)), item.start, after.end),
                {position, position + 1},
            )
        elif item.ordinal and (item.number or 0) <= 31 and after.text not in WEEKDAYS:
            month = _month_after(items, position)
            value = ("day", month, int(item.number or 0)) if month else ("nth", int(item.number or 0))
            is_loose = not month and before.text not in ("the", "on")
            yield Mention(FactKind.DATE, value, item.start, item.end, is_loose), {position}


def _weeks(items: list[Item], position: int) -> int:
    """1 for "every Thursday", 2 for "every other Thursday", 0 where the text does not say."""
    before = [_at(items, position - 2).text, _at(items, position - 1).text]
    if before == ["every", "other"] or before[1] in ("alternate", "second"):
        return 2
    return 1 if before[1] in ("every", "each") else 0


def _month_after(items: list[Item], position: int) -> int:
    for item in (_at(items, position + 1), _at(items, position + 2)):
        if item.text in _MONTHS:
            return _MONTHS.index(item.text) + 1
    return 0


def _durations(items: list[Item], text: str) -> Found:
    for position, item in enumerate(items):
        unit = item.text.removesuffix("s")
        if unit not in _SECONDS:
            continue
        at = position - 1
        if _at(items, at).text in ("business", "working", "calendar", "full", "more"):
            at -= 1
        before = _at(items, at)
        if before.number is not None and not before.ordinal:
            yield _duration(items, at, position, before.number, unit)
            first = _at(items, at - 2)
            if _at(items, at - 1).text in ("to", "or") and first.number is not None:
                yield _duration(items, at - 2, at - 2, first.number, unit)
        elif before.text in ("a", "an"):
            half = _at(items, at - 1).text == "half"
            start = _at(items, at - 1).start if half else before.start
            yield Mention(FactKind.DURATION, _SECONDS[unit] / (2 if half else 1), start, item.end, loose=True), set()


def _duration(items: list[Item], first: int, last: int, number: float, unit: str) -> tuple[Mention, set[int]]:
    place = Mention(FactKind.DURATION, number * _SECONDS[unit], items[first].start, items[last].end)
    return place, set(range(first, last + 1))
