"""The page of figures over many calls: empty, with one call, with many, and only of those that were chosen."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update

from crm.admin import overview
from crm.admin.overview import bars, totals
from crm.admin.timing import bins
from crm.analytics import Analytics, Day, PersonaFigures
from crm.call import Scorecard, Transfer, Verdict
from crm.dynamics import dynamics_of
from crm.floor import Ipu
from crm.reference import human_shares
from crm.store import CallStore
from crm.tables import CallRow
from personas.accounts import ensure_admin
from personas.admin import console
from personas.store import PersonaStore

KIRITIMATI = ZoneInfo("Pacific/Kiritimati")  # UTC+14


@pytest.fixture
async def client(store: CallStore) -> AsyncIterator[httpx.AsyncClient]:
    app, personas = FastAPI(), PersonaStore(store.database)
    section = overview.section(Analytics(store.database), personas)
    secret = "s" * 40
    console.mount(
        app, database=store.database, session_secret=secret, secure=False, sections=[section], time_zone=KIRITIMATI
    )
    await ensure_admin(store.database, "correct horse")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        found = re.search(r'csrf_token" value="([^"]+)', (await client.get("/login")).text)
        assert found
        await client.post("/login", data={"csrf_token": found[1], "name": "admin", "password": "correct horse"})
        yield client


async def shown(client: httpx.AsyncClient, **chosen: str) -> str:
    answer = await client.get("/overview", params=chosen)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())


async def test_a_call_is_counted_in_the_day_of_the_consoles_zone(
    client: httpx.AsyncClient, store: CallStore, new_call
) -> None:
    call = (await store.open_call(new_call())).call
    async with store.database.session() as session:
        at = datetime(2026, 7, 1, 10, 30, tzinfo=UTC)
        await session.execute(update(CallRow).where(CallRow.id == call.id).values(created_at=at))
    text = await shown(client, since="2026-07-02", until="2026-07-02")
    assert "Calls by day (Pacific/Kiritimati)" in text
    assert "2026-07-02: 1 call, 0 answered" in text
    assert "Days and times are those of Pacific/Kiritimati." in text
    assert "No call in these days" in await shown(client, until="2026-07-01")


async def test_without_calls_it_says_so(client: httpx.AsyncClient) -> None:
    assert "No call in these days" in await shown(client)


async def test_calls_are_summed_up(client: httpx.AsyncClient, store: CallStore, new_call) -> None:
    opened = await store.open_call(new_call())
    text = await shown(client)
    assert "Calls 1 0 answered" in text
    assert "Ringing 1" in text
    await store.claim("CA1", "AC1", opened.nonce)
    await store.finish(
        opened.call.id,
        status="ended",
        outcome="caller_hung_up",
        duration_ms=120_000,
        transfers=[Transfer(1_000, 700), Transfer(2_000, 900)],
    )
    verdict = Verdict("role", "Stays the <agent>.", "fail", "critical", 1.0, "", None, "")
    await store.save_score(opened.call.id, None, Scorecard("rules", "0", 0.25, 0.5, (verdict,)))
    await store.refuse_call(new_call("CA2", persona_slug=None), "unknown_number", "Nobody answers this number.")
    text = await shown(client)
    assert "Calls 2 1 answered by a persona Minutes 2" in text
    assert "Role kept 25 % mean of 1 scored call Critical failures 1" in text
    assert "Waste collection 1 25 % 50 % 1 700 ms 900 ms" in text
    assert "No persona answers this number 1" in text
    assert "Stays the &lt;agent&gt;. 1 0 0" in text
    tomorrow = (datetime.now(KIRITIMATI) + timedelta(2)).date().isoformat()
    assert "No call in these days" in await shown(client, since=tomorrow)
    assert "No call in these days" in await shown(client, persona="other")
    assert "Calls 2" in await shown(client, until="9998-12-31")
    assert (await client.get("/overview", params={"since": "x"})).status_code == 400


async def test_timing_is_shown_beside_peoples(client: httpx.AsyncClient, store: CallStore, new_call) -> None:
    await store.open_call(new_call("CA0"))
    assert "Timing of the conversations" not in await shown(client)  # nothing was measured yet
    caller, agent, text = [Ipu("caller", 0, 1_000)], [Ipu("agent", 1_700, 9_000)], ""
    for number in range(1, 4):
        opened = await store.open_call(new_call(f"CA{number}"))
        measured = dynamics_of(caller, agent, 12_000)
        many = tuple(Transfer(1_700 + each, 700) for each in range(33 if number < 3 else 34))
        await store.finish(
            opened.call.id,
            status="ended",
            outcome="caller_hung_up",
            transfers=many,
            dynamics=measured.summary(),
        )
        text = await shown(client)
        assert "Answers after, median 700 ms 9 of 10 within 700 ms" in text
        assert f"0.6 to 0.8 s: {33 * number + (number == 3)} answers" in text
        assert f"Silences over 2 s {number} in {number} of {number} calls" in text
        assert ("From 100 answers on they are compared with people’s." in text) == (number < 3)
    assert re.search(r"0\.\d{3} bits from people \(Jensen-Shannon divergence of 100 answers\)", text)
    assert "Cut in on the caller" not in text  # there was no occasion
    assert "Both speak at once 0 % of speech" in text
    assert "Agent’s “mm-hm” 0.0 a minute of caller" in text


def test_bars_and_people_are_of_one_scale() -> None:
    found = bins((0,) * 9 + (10,) + (0,) * 6 + (10,))
    assert [bin.title for bin in found[:2]] == ["under -1.0 s", "-1.0 to -0.8 s"]
    assert (found[9].title, found[9].count, found[9].height) == ("0.6 to 0.8 s", 10, 100)
    assert (found[16].title, found[16].height) == ("2.0 s and more", 100)
    assert max(bin.people for bin in found) == pytest.approx(100 * human_shares().max() / 0.5, abs=0.01)
    assert bins((0,) * 17) == ()


def test_days_without_calls_are_shown_too() -> None:
    days = [Day(date(2026, 7, 1), 4, 2, 1.0), Day(date(2026, 7, 3), 1, 1, 1.0)]
    three = [(1, 4, 100, 50), (2, 0, 0, 0), (3, 1, 25, 25)]
    for first, last, expected in (
        (date(2026, 7, 1), date(2026, 7, 3), three),
        (date(2026, 7, 2), date(2026, 7, 4), [*three, (4, 0, 0, 0)]),
        (date(1, 1, 1), date(2026, 7, 4), three),
    ):
        found = bars(days, first, last)
        assert [(each.day.day, each.calls, each.height, each.answered_height) for each in found] == expected
    assert bars([], date(2026, 7, 1), date(2026, 7, 1)) == []


def test_the_mean_counts_calls_not_personas() -> None:
    figures = [
        PersonaFigures(str(n), "", 9, n, score, 1.0, 0, None, None) for n, score in ((3, 1.0), (1, 0.0), (0, None))
    ]
    assert totals([], figures).score == 0.75
    assert totals([], []).score is None


async def test_test_calls_count_nowhere(client: httpx.AsyncClient, store: CallStore, new_call) -> None:
    for number in range(3):
        test = new_call(f"BR{number}", carrier="browser", from_number="", account_id="ann", is_test=True)
        opened = await store.open_call(test)
        await store.finish(opened.call.id, status="ended", outcome="engine_lost", duration_ms=60_000)
        await store.save_score(opened.call.id, None, Scorecard("rules", "0", 0.0, 1.0, ()))
    assert "No call in these days" in await shown(client)
    await store.open_call(new_call("CA1"))
    text = await shown(client)
    assert "Calls 1 0 answered" in text
    assert "engine was lost" not in text
    assert "kind=callers" in (await client.get("/overview")).text
