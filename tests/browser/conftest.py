"""A console with calls in it, served on a real socket, and a real Chromium to look at it.

``pytest tests/browser --screenshots DIR`` also keeps every page as a picture: light, dark and on a phone.
"""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect, sync_playwright

from crm.admin import customers as customer_pages
from crm.admin import overview
from crm.admin import pages as call_pages
from crm.analytics import Analytics
from crm.customers import Customers
from crm.recordings import Recordings
from crm.store import CallStore
from personas.accounts import Accounts, ensure_admin
from personas.admin import console
from personas.db import Database
from personas.roles import Role
from personas.store import PersonaStore
from tests.browser.seeding import seed

PASSWORD = "correct horse battery"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
DESK = {"viewport": {"width": 1280, "height": 900}, "timezone_id": "America/New_York", "locale": "en-US"}

SignIn = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Site:
    """A served console: its origin, and the ids of its calls by what they are."""

    url: str
    calls: dict[str, str]
    log: CallStore


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="DIR", type=Path, help="Keep every page of the console as PNG in DIR.")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium; skips without one. Playwright holds this thread's event loop while it lives."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("Chromium is missing; Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A console with the library's personas and calls of every kind."""
    yield from _served(sqlite_template, tmp_path_factory.mktemp("site"), seeded=True)


@pytest.fixture(scope="session")
def new_site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A console right after the first start."""
    yield from _served(sqlite_template, tmp_path_factory.mktemp("new-site"), seeded=False)


@pytest.fixture
def context(chromium: Browser, site: Site) -> Iterator[BrowserContext]:
    """A browser without cookies; the test fails if a page complained on the console or broke the policy."""
    with chromium.new_context(**DESK, base_url=site.url) as context:
        complaints = _listen(context)
        yield context
    assert not complaints


@pytest.fixture
def page(chromium: Browser, site: Site, cookies: StorageState) -> Iterator[Page]:
    """The start page after signing in; fails like ``context``."""
    with chromium.new_context(**DESK, base_url=site.url, storage_state=cookies) as context:
        complaints = _listen(context)
        page = context.new_page()
        page.goto("/")
        yield page
    assert not complaints


@pytest.fixture(scope="module")
def cookies(chromium: Browser, site: Site, sign_in: SignIn) -> StorageState:
    """What a browser keeps after signing in."""
    with chromium.new_context() as context:
        page = context.new_page()
        sign_in(page, site)
        page.get_by_role("heading", name="Calls").wait_for()
        return context.storage_state()


def _listen(context: BrowserContext) -> list[str]:
    """Return the list to which everything goes that pages complain about; Chromium's note of a 4xx is no complaint."""
    context.set_default_timeout(10_000)
    complaints: list[str] = []

    def hear(text: str) -> None:
        if "status of 4" not in text:
            complaints.append(text)

    context.on("console", lambda message: hear(message.text) if message.type != "log" else None)
    context.on("weberror", lambda error: hear(str(error.error)))
    return complaints


@pytest.fixture(scope="session")
def sign_in() -> SignIn:
    """Signs a page in, as ``sign_in(page, site)``; with a wrong ``password`` or from another ``path`` on demand."""

    def fill(page: Page, site: Site, password: str = PASSWORD, path: str = "/login") -> None:
        page.goto(site.url + path)
        name = page.get_by_label("User name")
        expect(name).to_be_focused()  # Chromium complains of who types before the page has focused the field
        name.fill("admin")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()

    return fill


@pytest.fixture
def end_live_call(site: Site) -> Callable[[], None]:
    """Ends the call ``ending``, which is in progress."""

    def end() -> None:
        finished = site.log.finish(site.calls["ending"], status="ended", outcome="agent_hung_up", duration_ms=5_000)
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, finished).result()

    return end


def _served(template: Path, folder: Path, *, seeded: bool) -> Iterator[Site]:
    shutil.copyfile(template, folder / "parley.db")
    database = Database(f"sqlite+aiosqlite:///{folder / 'parley.db'}")
    personas, calls, recordings = PersonaStore(database), CallStore(database), Recordings(folder / "recordings")

    async def prepare() -> dict[str, str]:
        await ensure_admin(database, PASSWORD)
        ids = await seed(personas, calls, recordings) if seeded else {}
        if seeded:
            for name, role in (("quinn", Role.ANALYST), ("w" * 64, Role.EDITOR)):
                await Accounts(database).add(name, PASSWORD, role)
        await database.close()
        return ids

    with ThreadPoolExecutor(1) as thread:  # this one's event loop may be Playwright's
        ids = thread.submit(asyncio.run, prepare()).result()
    app = FastAPI()
    known = Customers(database)
    sections = [
        call_pages.section(calls, personas, recordings, customers=known),
        overview.section(Analytics(database), personas),
        customer_pages.section(known, calls, personas),
    ]
    berlin = ZoneInfo("Europe/Berlin")
    looks = {"secure": False, "sections": sections, "time_zone": berlin, "dial": lambda version_id, user: {}}
    console.mount(app, database=database, session_secret="s" * 40, **looks)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    socket = server.config.bind_socket()
    serving = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    serving.start()
    try:
        yield Site(f"http://127.0.0.1:{socket.getsockname()[1]}", ids, calls)
    finally:
        server.should_exit = True
        serving.join()
