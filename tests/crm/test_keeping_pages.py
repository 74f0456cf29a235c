"""Holding, erasing and handing out calls in the console, as somebody who is signed in does it."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest
from fastapi import FastAPI

from crm.admin import pages
from crm.store import CallStore
from personas.accounts import ensure_admin
from personas.admin import console
from personas.store import PersonaStore
from tests.crm.keeping import ANN, SECRET, Archive
from tests.personas.browser import Browser


@pytest.fixture
def archive(store: CallStore, tmp_path: Path, new_call) -> Archive:
    return Archive(store, tmp_path, new_call)


@pytest.fixture
async def client(archive: Archive) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    section = pages.section(archive.store, PersonaStore(archive.database), archive.recordings)
    console.mount(app, database=archive.database, session_secret="s" * 40, secure=False, sections=[section])
    await ensure_admin(archive.database, "correct horse")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        browser = Browser(client)
        await browser.post("/login", await browser.get("/login"), name="admin", password="correct horse")
        yield client


async def test_a_caller_is_erased_from_the_console(archive: Archive, client: httpx.AsyncClient) -> None:
    call_id, other = await archive.call("CA1"), await archive.call("CA2")
    await archive.know()
    browser = Browser(client)
    copy = await client.get(f"/calls/{call_id}/caller.zip")
    assert copy.headers["Content-Disposition"].startswith('attachment; filename="caller-')
    assert copy.headers["Cache-Control"] == "no-store"
    assert sum(name.endswith(".wav") for name in ZipFile(io.BytesIO(copy.content)).namelist()) == 2

    page = await browser.get(f"/calls/{call_id}/erase")
    assert "2 calls from +4 ••• 671 and the customer’s other numbers (parts counted), 2 recordings" in page
    assert ANN not in page
    assert (await client.post(f"/calls/{call_id}/erase", data={"what": "caller"})).status_code == 403
    assert await archive.traces(SECRET)
    done = await browser.post(f"/calls/{call_id}/erase", page, what="caller")
    assert (done.status_code, done.headers["Location"]) == (303, f"/calls/{call_id}")
    assert await archive.traces(SECRET, ANN, "CA1") == []

    page = await browser.get(f"/calls/{call_id}")
    assert "on request. What is left here is counted in the overview." in page
    assert "The words are erased." in page
    again = await browser.get(f"/calls/{call_id}/erase")
    assert "This call is erased already" in again
    assert (await browser.post(f"/calls/{call_id}/erase", page, what="caller")).status_code == 409
    assert (await browser.post(f"/calls/{call_id}/erase", page, what="call")).status_code == 303
    assert (await client.get(f"/calls/{call_id}/caller.zip")).status_code == 404
    lines = list(csv.DictReader(io.StringIO((await client.get("/calls.csv")).text)))
    assert {line["call_id"]: (line["caller"], line["carrier_call_id"]) for line in lines} == {
        call_id: ("erased", ""),
        other: ("erased", ""),
    }
    found = await browser.post("/calls/search", await browser.get("/calls"), sought=ANN)
    assert "No call came from this number" in found.text


async def test_a_call_is_held_from_the_console(archive: Archive, client: httpx.AsyncClient) -> None:
    call_id = await archive.call("CA1")
    browser = Browser(client)
    page = await browser.get(f"/calls/{call_id}")
    assert (await browser.post(f"/calls/{call_id}/hold", page, reason=" ")).status_code == 409
    assert (await browser.post(f"/calls/{call_id}/hold", page, reason="dispute <7>")).status_code == 303
    assert "by admin: dispute &lt;7&gt;" in await browser.get(f"/calls/{call_id}")
    assert "on hold</span>" in await browser.get("/calls")
    page = await browser.get(f"/calls/{call_id}/erase")
    assert "This call is on hold: dispute &lt;7&gt;. Release the hold first." in page
    assert "Erase this call</button>" not in page
    refused = await browser.post(f"/calls/{call_id}/erase", await browser.get("/calls"), what="call")
    assert refused.status_code == 409
    assert (await browser.post(f"/calls/{call_id}/release", await browser.get("/calls"))).status_code == 303
    assert "on hold</span>" not in await browser.get("/calls")
    page = await browser.get(f"/calls/{call_id}/erase")
    assert (await browser.post(f"/calls/{call_id}/erase", page, what="call")).status_code == 303
    assert (await browser.post(f"/calls/{call_id}/hold", page, reason="late")).status_code == 409
    nothing = "0" * 32
    for path in ("hold", "release", "erase"):
        assert (await browser.post(f"/calls/{nothing}/{path}", page, reason="x")).status_code == 404
    for path in ("erase", "caller.zip"):
        assert (await client.get(f"/calls/{nothing}/{path}")).status_code == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_pages_tell_what_is_gone_and_what_is_stuck(archive: Archive, client: httpx.AsyncClient) -> None:
    call_id, withheld, old = await archive.call("CA1"), await archive.call("CA2", ""), await archive.call("CA3")
    browser = Browser(client)
    page = await browser.get(f"/calls/{withheld}/erase")
    assert "Everything of this caller" not in page
    assert (await browser.post(f"/calls/{withheld}/erase", page, what="caller")).status_code == 409
    await archive.move(old, 40)
    await archive.keeper(recordings_days=30).sweep()
    assert "recordings are kept no longer" in await browser.get(f"/calls/{old}")
    await archive.keeper(calls_days=30).sweep()
    assert ": its time was over. What is left" in await browser.get(f"/calls/{old}")
    path = archive.recordings.file((await archive.store.call(call_id)).recording)
    path.unlink()
    path.mkdir()
    assert (await browser.post(f"/calls/{call_id}/erase", page, what="call")).status_code == 303
    assert "This call is being erased" in await browser.get(f"/calls/{call_id}")
