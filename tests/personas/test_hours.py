"""Opening hours: days, spans, midnight, and the place's own time."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personas.errors import BadNumberSetting
from personas.hours import DAYS, opening_hours

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def open_at(text: str, at: datetime, timezone: str = "UTC") -> bool:
    hours = opening_hours(text, timezone)
    assert hours is not None
    return hours.is_open(at)


def test_no_hours_are_always() -> None:
    assert opening_hours("  ", "") is None


@pytest.mark.parametrize(
    ("day", "clock", "is_open"),
    [
        (0, "07:59", False),
        (0, "08:00", True),
        (4, "19:59", True),
        (4, "20:00", False),
        (5, "12:00", True),
        (5, "14:00", False),
        (6, "12:00", False),
    ],
)
def test_days_and_spans(day: int, clock: str, is_open: bool) -> None:
    hour, minute = map(int, clock.split(":"))
    at = MONDAY + timedelta(days=day, hours=hour, minutes=minute)
    assert open_at("Mon-Fri 08:00-20:00,  sat 10:00-14:00", at) is is_open


def test_a_night_is_two_spans() -> None:
    text = "Mon 22:00-24:00, Tue 00:00-06:00"
    assert open_at(text, MONDAY + timedelta(hours=23, minutes=59, seconds=59))
    assert open_at(text, MONDAY + timedelta(days=1, hours=5))
    assert not open_at(text, MONDAY + timedelta(days=1, hours=6))


def test_the_place_s_own_time_counts_also_in_summer() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for month in (1, 7):
        at = datetime(2026, month, 6, 8, 30, tzinfo=berlin).astimezone(UTC)
        assert open_at("Mon-Sun 08:00-09:00", at, "Europe/Berlin")
        assert not open_at("Mon-Sun 08:00-09:00", at + timedelta(hours=1), "Europe/Berlin")


@given(st.integers(0, 6), st.integers(0, 23), st.integers(0, 7 * 24 * 60 - 1))
def test_one_span_is_open_for_its_hour_and_no_other(day: int, hour: int, minute: int) -> None:
    text = f"{DAYS[day]} {hour:02}:00-{f'{hour + 1:02}:00'}"
    assert open_at(text, MONDAY + timedelta(minutes=minute)) is ((day * 24 + hour) == minute // 60)


@pytest.mark.parametrize(
    "text", ["Mon", "Mon 8:00-9:00", "Mon 09:00-08:00", "Fri-Mon 08:00-09:00", "Mon 25:00-26:00", ","]
)
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(BadNumberSetting, match="write them like"):
        opening_hours(text, "UTC")


@pytest.mark.parametrize("zone", ["", "Berlin", "../etc/passwd", "Europe/"])
def test_a_time_zone_is_iana_s(zone: str) -> None:
    with pytest.raises(BadNumberSetting, match="IANA"):
        opening_hours("Mon 08:00-09:00", zone)
