"""Days of a time zone: of 23, 24 and 25 hours, and the same ones from Python, SQLite and PostgreSQL."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from crm.analytics import Analytics
from crm.call import CallFilter
from crm.tables import CallRow
from personas.days import begin_of
from personas.db import Database
from tests.crm.plain_figures import PlainFigures
from tests.crm.zone_offsets import offsets

# Changes of an hour, of half an hour, at midnight, for Ramadan, by a whole day; and an odd offset without any.
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/Havana", "America/Santiago", "Africa/Cairo"),
    *("Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"),
)
YEARS = datetime(2010, 6, 1, tzinfo=UTC), datetime(2012, 6, 1, tzinfo=UTC)
moments = st.datetimes(datetime(2005, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("zone", "day", "begin", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00", 25),
        ("America/Havana", "2026-03-08", "2026-03-08T05:00", 23),  # at midnight: it is 1 o'clock at once
        ("America/Havana", "2026-11-01", "2026-11-01T04:00", 25),  # midnight comes twice
        ("Asia/Kathmandu", "2026-03-29", "2026-03-28T18:15", 24),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00", 0),  # a day that Samoa left out
    ],
)
def test_a_day_begins_and_lasts(zone: str, day: str, begin: str, hours: int) -> None:
    first = date.fromisoformat(day)
    found = begin_of(first, ZoneInfo(zone))
    assert found == datetime.fromisoformat(begin).replace(tzinfo=UTC)
    assert begin_of(first + timedelta(1), ZoneInfo(zone)) - found == timedelta(hours=hours)


@given(moments, st.sampled_from(ZONES))
def test_every_moment_is_in_the_day_that_its_clock_shows(at: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    day = at.astimezone(zone).date()
    assert begin_of(day, zone) <= at < begin_of(day + timedelta(1), zone)


@given(st.lists(moments, min_size=2, max_size=2), moments, st.sampled_from(ZONES))
def test_offsets_are_those_of_each_moment(ends: list[datetime], at: datetime, name: str) -> None:
    first, last = sorted(ends)
    spans = offsets(ZoneInfo(name), first, last)
    assert spans[0][0] == first
    at = min(max(at, first), last)
    (*_, here) = (offset for begin, offset in spans if begin <= at)
    assert here == at.astimezone(ZoneInfo(name)).utcoffset()


async def test_calls_are_counted_by_the_days_of_a_zone(database: Database) -> None:
    changes = [begin for name in ZONES for begin, _ in offsets(ZoneInfo(name), *YEARS)[1:]]
    around = (timedelta(microseconds=-1), timedelta(microseconds=-400), timedelta(), timedelta(hours=5, minutes=59.99))
    moments = [change + shift for change in changes for shift in around]
    moments += [YEARS[0] + timedelta(hours=7.3) * number for number in range(300)]
    row = {"carrier": "twilio", "account_id": "AC1", "from_number": "", "to_number": "+2", "persona_title": ""}
    row |= {"engine": "", "status": "ended", "role_prompt": "", "gateway": "h:1", "persona_slug": None}
    async with database.session() as session:
        lines = [row | {"id": f"{n}", "carrier_call_id": f"{n}", "created_at": at} for n, at in enumerate(moments)]
        await session.execute(insert(CallRow), lines)
    figures, around = Analytics(database), timedelta(2)
    for name in ZONES:
        zone = ZoneInfo(name)
        for change in [YEARS[0], *(begin for begin, _ in offsets(zone, *YEARS)[1:])]:
            first, last = (change - around).astimezone(zone).date(), (change + around).astimezone(zone).date()
            since, until = begin_of(first, zone), begin_of(last, zone)
            days = (await figures.figures(since, until, zone)).days
            wanted = Counter(at.astimezone(zone).date() for at in moments if since <= at < until)
            assert {each.day: each.calls for each in days} == wanted, name
            assert days == sorted(days, key=lambda each: each.day)
        every = Counter(at.astimezone(zone).date() for at in moments)
        plain = await PlainFigures(database).days(CallFilter(), zone)
        assert {each.day: each.calls for each in plain} == every, name
    assert (await figures.figures(datetime(2031, 1, 1, tzinfo=UTC), zone=ZoneInfo("Europe/Berlin"))).days == []
