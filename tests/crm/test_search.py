"""Finding calls by the caller's number, our id or the carrier's: whole numbers only, and none in an address."""

import csv
import io
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert, text

from crm.admin import pages
from crm.call import CallFilter, NewCall
from crm.phone_numbers import e164
from crm.queries import page_query
from crm.recordings import Recordings
from crm.store import CallStore
from crm.tables import CallRow
from personas.accounts import ensure_admin
from personas.admin import console
from personas.db import Database
from personas.errors import BadNumber
from personas.store import PersonaStore
from tests.personas.browser import Browser

ANN, BOB = "+49301234567", "+12025550143"
NewCalls = Callable[..., NewCall]


@pytest.fixture
async def client(store: CallStore, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in to the pages about calls."""
    app = FastAPI()
    section = pages.section(store, PersonaStore(store.database), Recordings(tmp_path))
    console.mount(app, database=store.database, session_secret="s" * 40, secure=False, sections=[section])
    await ensure_admin(store.database, "correct horse")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        browser = Browser(client)
        await browser.post("/login", await browser.get("/login"), name="admin", password="correct horse")
        yield client


async def find(client: httpx.AsyncClient, sought: str) -> httpx.Response:
    browser = Browser(client)
    return await browser.post("/calls/search", await browser.get("/calls"), sought=sought)


async def opened(store: CallStore, new: NewCall) -> str:
    return (await store.open_call(new)).call.id


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+49 30 1234567", ANN),
        ("0049 (30) 123-4567", ANN),
        ("+49 (0)30 / 1234567", ANN),
        ("tel:+49-30-1234567", ANN),
        ("\u202a+49\u00a030\u00a01234567\u202c", ANN),
        ("\uff0b\uff14\uff19 30 1234567", ANN),
        ("+1 (202) 555\u20110143", BOB),
    ],
)
def test_a_number_is_read_as_people_write_it(written: str, number: str) -> None:
    assert e164(written) == number


@pytest.mark.parametrize(
    "written", ["030 1234567", "1234567", "143", "+49", "0049", "+1 ••• 143", "+49 30 12x", "", "+"]
)
def test_a_number_that_is_not_whole_is_refused(written: str) -> None:
    with pytest.raises(BadNumber):
        e164(written)


async def test_the_calls_of_a_caller_are_found_and_no_address_tells_the_number(
    client: httpx.AsyncClient, store: CallStore, new_call: NewCalls
) -> None:
    for number in range(32):
        await opened(store, new_call(f"CAann{number}", from_number=ANN))
    await opened(store, new_call("CAbob", from_number=BOB))
    found = await find(client, "0049 30 123 45 67")
    assert found.status_code == 303
    address = found.headers["location"]
    page = (await client.get(address)).text
    assert "Only calls from +4 ••• 567." in page
    assert page.count('class="row-link"') == pages.PAGE_LENGTH
    more = unescape(page.split("Older calls")[0].rsplit('href="', 1)[1].split('"')[0])
    assert (await client.get(more)).text.count('class="row-link"') == 2
    file = unescape(page.split(" download title")[0].rsplit('href="', 1)[1].split('"')[0])
    lines = list(csv.DictReader(io.StringIO((await client.get(file)).text)))
    assert {line["carrier_call_id"] for line in lines} == {f"CAann{number}" for number in range(32)}
    assert await shown(client, "/calls") == 30
    assert await shown(client, f"{address}&status=ended") == 0
    for part in (address, more, file, page):
        assert "1234567" not in part


async def shown(client: httpx.AsyncClient, address: str) -> int:
    return (await client.get(address)).text.count('class="row-link"')


async def test_a_call_is_found_by_its_ids(client: httpx.AsyncClient, store: CallStore, new_call: NewCalls) -> None:
    call_id = await opened(store, new_call("CA0123", from_number="sip:ann@example.com"))
    for sought in (call_id, f" {call_id}\n", "CA0123"):
        assert (await find(client, sought)).headers["location"] == f"/calls/{call_id}"
    assert (await find(client, "sip:ann@example.com")).headers["location"] == f"/calls?caller_of={call_id}"
    assert f'href="/calls?caller_of={call_id}"' in (await client.get(f"/calls/{call_id}")).text


async def test_a_long_address_of_sip_is_logged_and_found(
    client: httpx.AsyncClient, store: CallStore, new_call: NewCalls
) -> None:
    address = f"sip:{'a' * 240}@example.com"
    call_id = await opened(store, new_call(from_number=address, to_number=address))
    assert (await find(client, address)).headers["location"] == f"/calls?caller_of={call_id}"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_not_found_is_told_and_stays_in_the_form(
    client: httpx.AsyncClient, store: CallStore, new_call: NewCalls
) -> None:
    await opened(store, new_call(from_number=BOB))
    for sought, why in (
        ("030 1234567", "with its country code"),
        ("567", "with its country code"),
        ("", "with its country code"),
        ("<b>'", "with its country code"),
        (ANN, "No call came from this number"),
        ("sip:bob@example.com", "No call came from this number"),
        ("CA9999", "No call has this id"),
        ("x" * 5000, "No call has this id"),
    ):
        answer = await find(client, sought)
        assert (answer.status_code, why in unescape(answer.text)) == (422, True), sought
        assert f'value="{sought[:20]}' in unescape(answer.text)
        assert "<b>" not in answer.text
        assert 'class="row-link"' in answer.text


async def test_callers_who_withheld_their_number_are_not_one_caller(
    client: httpx.AsyncClient, store: CallStore, new_call: NewCalls
) -> None:
    call_id = await opened(store, new_call("CA1", from_number=""))
    await opened(store, new_call("CA2", from_number=""))
    assert "all their calls" not in (await client.get(f"/calls/{call_id}")).text
    page = (await client.get(f"/calls?caller_of={call_id}")).text
    assert "withheld their number" in page
    assert 'class="row-link"' not in page
    assert (await client.get("/calls?caller_of=nothing")).status_code == 404


async def test_ten_thousand_calls_are_searched_by_index(database: Database, new_call: NewCalls) -> None:
    row = {"carrier": "twilio", "account_id": "AC1", "to_number": "+2", "persona_title": "", "persona_slug": "waste"}
    row |= {"engine": "", "status": "ended", "role_prompt": "", "gateway": "h:1"}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    lines = [
        row
        | {"id": f"{n:032x}", "carrier_call_id": f"CA{n}", "from_number": f"+4930{n % 500:07}"}
        | {"created_at": start + timedelta(seconds=n)}
        for n in range(10_000)
    ]
    async with database.session() as session:
        await session.execute(insert(CallRow), lines)
    is_sqlite = database.url.get_backend_name() == "sqlite"
    async with database.session() as session:
        await session.execute(text("ANALYZE"))
    for where, index in (
        (CallFilter(caller="+49300000007"), "ix_calls_from_number"),
        (CallFilter(caller_of=f"{7:032x}"), "ix_calls_from_number"),
        (CallFilter(name="CA7"), "ix_calls_carrier_call_id"),
    ):
        statement = page_query(50, "", where).compile(
            database.engine.sync_engine, compile_kwargs={"literal_binds": True}
        )
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        async with database.session() as session:
            plan = "\n".join(str(line) for line in await session.execute(text(f"{explain} {statement}")))
        assert index in plan
        assert "SCAN calls" not in plan
        assert "Seq Scan" not in plan
