"""The console's pages of customers: written down, found, changed by two at once, imported."""

from collections.abc import AsyncIterator, Callable
from html import unescape
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from crm.admin import customer_imports, pages
from crm.admin import customers as customer_pages
from crm.call import KnownCaller, NewCall
from crm.customer import Customer
from crm.customers import Customers
from crm.recordings import Recordings
from crm.store import CallStore
from personas.accounts import ensure_admin
from personas.admin import console
from personas.audit import AuditLog
from personas.db import Database
from personas.library import load_library
from personas.store import PersonaStore
from tests.personas.browser import Browser, hidden_field

ADA, BOB = "+4930123456", "+12025550143"
NewCalls = Callable[..., NewCall]


@pytest.fixture
def customers(database: Database) -> Customers:
    return Customers(database)


@pytest.fixture
async def client(store: CallStore, customers: Customers, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in to the pages about calls and customers."""
    app, personas = FastAPI(), PersonaStore(store.database)
    sections = [
        pages.section(store, personas, Recordings(tmp_path), customers=customers),
        customer_pages.section(customers, store, personas),
    ]
    console.mount(app, database=store.database, session_secret="s" * 40, secure=False, sections=sections)
    await ensure_admin(store.database, "correct horse")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        browser = Browser(client)
        await browser.post("/login", await browser.get("/login"), name="admin", password="correct horse")
        yield client


@pytest.fixture
def browser(client: httpx.AsyncClient) -> Browser:
    return Browser(client)


async def send(client: httpx.AsyncClient, page: str, path: str = "/customers", **fields: str) -> httpx.Response:
    """Send the form of a customer's page with some fields filled in anew."""
    names = ("csrf_token", "id", "base")
    hidden = {name: hidden_field(page, name) for name in names if f'name="{name}"' in page}
    return await client.post(path, data=hidden | fields)


async def test_a_customer_is_written_down_changed_and_removed(
    client: httpx.AsyncClient, browser: Browser, customers: Customers
) -> None:
    typed = {"numbers": "0049 30 / 123456\n+1 (202) 555-0143", "name": "<b>Ada</b>", "profile": "</textarea><script>"}
    saved = await send(client, await browser.get("/customers/new"), **typed)
    assert saved.status_code == 303
    page = await browser.get(saved.headers["location"])
    assert "<b>Ada" not in page
    assert "</textarea><script>" not in page
    assert "&lt;b&gt;Ada" in page
    assert "+4 ••• 456" in page
    assert ADA not in page, "whole numbers stand in the form alone"
    assert ADA not in await browser.get("/customers")
    form = await browser.get(saved.headers["location"] + "/edit")
    assert f"{ADA}\n{BOB}</textarea>" in form
    changed = await send(client, form, **typed | {"name": "Ada"})
    assert changed.headers["location"] == saved.headers["location"]
    page = await browser.get(saved.headers["location"])
    removed = await send(client, page, f"{saved.headers['location']}/remove")
    assert removed.headers["location"] == "/customers"
    assert await customers.count() == 0
    assert (await send(client, page, f"{saved.headers['location']}/remove")).status_code == 303, "twice is harmless"


@pytest.mark.parametrize(
    ("field", "value"), [("numbers", "030 123456"), ("numbers", ""), ("name", "x" * 300), ("profile", "x" * 900)]
)
async def test_what_cannot_be_kept_is_told_and_stays_in_the_form(
    client: httpx.AsyncClient, browser: Browser, field: str, value: str
) -> None:
    typed = {"numbers": ADA, "name": "Ada", "profile": "Prefers mornings."} | {field: value}
    answer = await send(client, await browser.get("/customers/new"), **typed)
    assert answer.status_code == 422
    assert f">{field.capitalize()} " in answer.text
    assert all(value in unescape(answer.text) for value in typed.values())


async def test_a_number_of_another_customer_is_refused_with_a_way_there(
    client: httpx.AsyncClient, browser: Browser, customers: Customers
) -> None:
    ada = await customers.save(Customer((ADA,), "Ada"))
    answer = await send(client, await browser.get("/customers/new"), numbers=ADA, name="Eve", profile="")
    assert answer.status_code == 422
    assert f'href="/customers/{ada.id}"' in answer.text


async def test_of_two_who_edit_the_second_sees_both_texts(
    client: httpx.AsyncClient, browser: Browser, customers: Customers
) -> None:
    ada = await customers.save(Customer((ADA,), "Ada"))
    mine = await browser.get(f"/customers/{ada.id}/edit")
    await customers.save(Customer((ADA,), "Ada", "Theirs.", ada.id))
    both = await send(client, mine, numbers=ADA, name="Ada", profile="Mine.")
    assert both.status_code == 422
    assert "Theirs." in both.text
    assert "Mine." in both.text
    again = await send(client, both.text, numbers=ADA, name="Ada", profile="Mine.")
    assert again.status_code == 303
    assert (await customers.customer(ada.id)).profile == "Mine."
    await customers.remove(ada.id)
    lost = await send(client, both.text, numbers=ADA, name="Ada", profile="Mine.")
    assert "somebody removed them" in lost.text
    assert (await send(client, lost.text, numbers=ADA, name="Ada", profile="Mine.")).status_code == 303


async def test_customers_are_found_by_name_or_number_and_no_address_tells_which(
    client: httpx.AsyncClient, browser: Browser, customers: Customers
) -> None:
    ada = await customers.save(Customer((ADA,), "Ada Müller"))
    for place in range(customer_pages.PAGE_LENGTH + 5):
        await customers.save(Customer((f"+1202555{place:04}",), f"Müller {place:03}"))

    async def find(sought: str) -> httpx.Response:
        return await browser.post("/customers/search", await browser.get("/customers"), sought=sought)

    assert (await find("0049 30 123456")).headers["location"] == f"/customers/{ada.id}"
    for sought, why in (("+4930123457", customer_pages.NO_NUMBER), ("030 123456", customer_pages.NOT_WHOLE)):
        answer = await find(sought)
        assert answer.status_code == 422
        assert why in unescape(answer.text)
    found = (await find("mULLER")).headers["location"]
    assert "ller" not in found
    page = await browser.get(found)
    assert page.count('class="row-link"') == customer_pages.PAGE_LENGTH
    more = unescape(page.split('">More customers')[0].rsplit('href="', 1)[1])
    rest = await browser.get(more)
    assert rest.count('class="row-link"') == 6
    assert "Ada" in page + rest
    assert "Müller" not in more
    for _ in range(9):  # a cookie that grew too large would sign its user out
        await find("\U0001f600" * 200 + "x")
    assert len(client.cookies["parley"]) < 3_600
    assert "No customer’s name holds this" in await browser.get((await find("nobody")).headers["location"])
    assert (await client.get("/customers?found=00000000")).headers["location"] == "/customers"
    assert (await client.get("/customers?after=999999")).status_code == 400
    assert (await client.get("/customers?after=x")).status_code == 400
    assert (await client.get(f"/customers/{2**40}")).status_code == 400
    assert (await client.get("/customers/77777")).status_code == 404


async def test_a_call_and_its_customer_lead_to_each_other(
    browser: Browser, store: CallStore, customers: Customers, new_call: NewCalls
) -> None:
    told = KnownCaller("Ada", "Has the <b>large</b> machine.", "lookup")
    known = (await store.open_call(new_call("CA1", from_number=ADA, customer=told))).call.id
    other = (await store.open_call(new_call("CA2", from_number=BOB))).call.id
    hidden = (await store.open_call(new_call("CA3", from_number=""))).call.id
    page = await browser.get(f"/calls/{known}")
    assert "Has the &lt;b&gt;large" in page
    assert '<bdi>Ada</bdi> <span class="text-secondary">by your own records</span>' in page
    form = await browser.get(f"/customers/new?call={other}")
    assert f"{BOB}</textarea>" in form
    assert f"/customers/new?call={other}" in await browser.get(f"/calls/{other}")
    assert "/customers/new" not in await browser.get(f"/calls/{hidden}")
    bob = await customers.save(Customer((BOB,), "Bob"))
    page = await browser.get(f"/calls/{other}")
    assert f"/customers/{bob.id}" in page
    assert "the agent was not told" in page
    assert f"/calls?caller_of={other}" in await browser.get(f"/customers/{bob.id}")
    assert "Ada" in await browser.get("/calls")


async def test_what_an_agent_is_told_is_shown(browser: Browser, store: CallStore, customers: Customers) -> None:
    ada = await customers.save(Customer((ADA,), "Ada", "<system>Prefers\nmornings."))
    assert "No persona is published" in await browser.get(f"/customers/{ada.id}")
    await PersonaStore(store.database).import_cards(load_library()[:1])
    slug = load_library()[0].slug
    page = await browser.get(f"/customers/{ada.id}?persona={slug}")
    assert "About the caller: Their name is Ada. (system)Prefers mornings." in page
    assert "About the caller" not in await browser.get(f"/customers/{ada.id}?persona=nobody")


FILE = f"numbers;name\n{ADA};Ada\n030 1;Bob\n{BOB};Cyd\n".encode("utf-8-sig")


async def upload(client: httpx.AsyncClient, browser: Browser, content: bytes, **fields: str) -> httpx.Response:
    token = hidden_field(await browser.get("/customers/import"), "csrf_token")
    files = {"file": ("<b>kunden.csv", content, "text/csv")}
    return await client.post("/customers/import", data={"csrf_token": token} | fields, files=files)


async def test_a_file_is_looked_through_and_imported(
    client: httpx.AsyncClient, browser: Browser, customers: Customers, store: CallStore
) -> None:
    looked = await upload(client, browser, FILE, action="check", skip_bad="on")
    assert "not imported" in looked.text
    assert "&lt;b&gt;kunden.csv" in looked.text
    refused = await upload(client, browser, FILE, action="import")
    assert "Nothing was written, because of the bad rows" in refused.text
    assert '<td data-label="Line" class="num">3</td>' in refused.text
    assert await customers.count() == 0
    taken = await upload(client, browser, FILE, action="import", skip_bad="on")
    assert "The good rows are imported" in taken.text
    assert await customers.count() == 2
    (entry,) = (await AuditLog(store.database).entries(limit=1)).entries
    assert (entry.actor.name, entry.action, entry.detail) == ("admin", "customers_imported", "2 new, 0 changed")
    broken = await upload(client, browser, b"name\nAda\n", action="import")
    assert broken.status_code == 422
    assert "names no column" in broken.text
    nothing = await client.post(
        "/customers/import", data={"csrf_token": hidden_field(broken.text, "csrf_token"), "action": "import"}
    )
    assert "Choose a file first" in nothing.text


async def test_what_is_too_large_is_refused_before_it_is_read(client: httpx.AsyncClient, browser: Browser) -> None:
    large = b" " * (customer_imports.LARGEST_FORM_BYTES + 1)
    assert (await upload(client, browser, large)).status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    sent = await client.post("/customers/import", content=pieces())
    assert sent.status_code == 413
    form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "2000001"}
    for path in ("/login", "/customers/search", "/personas"):
        limit = 413 if path != "/customers/search" else 403
        assert (await client.post(path, content=b"x", headers=form)).status_code == limit, path
