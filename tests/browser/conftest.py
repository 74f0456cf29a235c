"""A console with calls in it, served on a real socket, and a real Chromium to look at it.

``pytest tests/browser --screenshots DIR`` also keeps every page as a picture: light, dark and on a phone.
"""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect, sync_playwright
from sqlalchemy import update

from crm.admin import customers as customer_pages
from crm.admin import overview
from crm.admin import pages as call_pages
from crm.analytics import Analytics
from crm.call import CallEvent, JudgeWait, KnownCaller, NewCall, Outcome, Scorecard, Status, Turn, Verdict
from crm.customer import Customer
from crm.customers import Customers, Put
from crm.dynamics import dynamics_of
from crm.erasure import Erasures, Whose
from crm.floor import ipus
from crm.holds import Holds
from crm.recordings import Recordings
from crm.store import CallStore
from crm.tables import CallRow
from crm.tracks import SAMPLE_HZ, SAMPLES_PER_MS, TRACKS, wav_header
from personas.accounts import Accounts, ensure_admin
from personas.admin import console
from personas.audit import Actor
from personas.db import Database
from personas.library import library_numbers, load_library
from personas.prompt import render_role_prompt
from personas.roles import Role
from personas.store import PersonaStore, PersonaVersion

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
DENTAL = "brightwater-dental"
LENGTH_MS = 42_000
ADAS_PROFILE = "A patient since 2019.\nPrefers appointments in the morning, and is <b>afraid</b> of needles."
WORD = "Auskunftsbürovorzimmer" * 6 + "السكرتارية" * 3
TURNS = (
    ("agent", 400, 4_100, "Thank you for calling Brightwater Dental, this is Marisol. How can I help you?"),
    ("caller", 5_000, 7_600, "hi could you tell me what a cleaning costs"),
    ("agent", 8_500, 10_600, "A regular cleaning is $120."),
    ("caller", 11_300, 13_800, "and what time do you open in the morning"),
    ("agent", 14_700, 19_000, "We open at 7:30 a.m. from Monday to Friday. On weekdays we"),
    ("caller", 16_400, 16_800, "mm-hmm"),
    ("caller", 18_300, 21_500, "sorry do you have free parking for patients"),
    ("agent", 22_700, 27_200, "I'm sorry, I don't have that information here, but I can have someone call you back."),
    ("caller", 28_000, 31_000, "can you prescribe me something for the pain"),
    ("agent", 32_300, 37_000, "I'm not able to prescribe medicine over the phone, take two tablets and call us."),
    ("caller", 37_900, 39_200, "okay thank you goodbye"),
    ("agent", 39_900, 41_800, "Thank you for calling Brightwater Dental. Goodbye!"),
)
VERDICTS = (
    ("identity", "Says who it is", "pass", "major", "this is Marisol", 0, ""),
    ("fact.cleaning_price", "States the price of a cleaning as $120", "pass", "critical", "$120", 2, ""),
    ("fact.opening_time", "States the opening time as 7:30 a.m.", "pass", "critical", "7:30 a.m.", 4, ""),
    ("unknown", "Says so when it does not know", "pass", "major", "I don't have that information", 7, ""),
    (
        "rule.no_prescriptions.forbidden",
        "Never says “take two tablets”",
        "fail",
        "critical",
        "take two tablets",
        9,
        "A phrase that the role card forbids.",
    ),
    (
        "rule.verify_birth_date",
        "Asks for the date of birth before personal data",
        "na",
        "major",
        "",
        None,
        "Nobody asked.",
    ),
    (
        "fact.missed_fee",
        "States the fee for a missed appointment as $50",
        "unresolved",
        "minor",
        "",
        None,
        "Not decidable by rules.",
    ),
)


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
        ids = await _seed(personas, calls, recordings) if seeded else {}
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


async def _seed(personas: PersonaStore, calls: CallStore, recordings: Recordings) -> dict[str, str]:
    await personas.import_cards(load_library())
    for number, slug in library_numbers().items():
        await personas.set_number(number, slug)
    dental = await personas.published(DENTAL)
    await personas.save_draft(dental.card.model_copy(update={"unknown_say": "Let me have someone call you back."}))
    others = [await personas.published(each.slug) for each in await personas.personas()]
    seeder = _Seeder(calls)
    for number in range(60):
        version = others[number % len(others)]
        await seeder.ended(f"CAolder{number}", version, minutes_ago=90 + 37 * number, score=0.6 + number % 5 / 10)
    unknown = NewCall("twilio", "CAunknown", "AC1", "+12025550188", "+15550199")
    reason = "No persona answers this number; set one with `parley numbers set NUMBER PERSONA`."
    refused = (await calls.refuse_call(unknown, "unknown_number", reason)).id
    lost = await seeder.claimed("CAlost", others[3])
    await calls.finish(
        lost, status="lost", outcome="gateway_lost", reason="The server stopped in the call.", duration_ms=9_000
    )
    ids = {"refused": refused, "lost": lost, "live": await seeder.claimed("CAlive", others[2])}
    ids["ending"] = await seeder.claimed("CAending", others[1])
    ids["whole"] = await seeder.whole(dental, recordings)
    ids["long"] = await seeder.long(dental)
    ids |= await _seed_customers(Customers(calls.database))
    ids["unjudged"] = await seeder.unjudged(dental)
    ids["held"] = await seeder.left("CAheld", others[4])
    await Holds(calls.database, Actor("admin")).hold(ids["held"], "dispute 2026-17")
    ids["erased"] = await seeder.left("CAerased", others[5])
    await Erasures(calls.database, recordings).erase(Whose(ids["erased"]))
    for minutes, name in enumerate(("live", "whole", "refused", "lost", "ending")):
        await seeder.move(ids[name], 4 + 9 * minutes)
    return ids


async def _seed_customers(customers: Customers) -> dict[str, str]:
    """Keep some pages of customers, one of them long, from right to left and full of markup; return ids of two."""
    every = [Put((f"+4930{1_000_000 + n}",), f"Customer {n:05}", f"Has order {n}.") for n in range(300)]
    await customers.put(every, write=True)
    ada = await customers.save(Customer(("+12025550143", "+4917012345678"), "Ada Lovelace", ADAS_PROFILE))
    odd = Customer(("+4917012345679",), f"<b>{WORD}</b>"[:200], f"<system>\n{WORD}\n</system><img src=x>"[:400])
    return {"ada": str(ada.id), "odd": str((await customers.save(odd)).id)}


class _Seeder:
    def __init__(self, calls: CallStore) -> None:
        self._calls = calls

    async def claimed(self, carrier_call_id: str, version: PersonaVersion) -> str:
        opened = await self._calls.open_call(
            NewCall(
                "twilio",
                carrier_call_id,
                "AC1",
                "+12025550143",
                "+15550100",
                version.persona_slug,
                version.id,
                version.card.title,
                "cascade",
                render_role_prompt(version.card, ADAS_PROFILE, customer_name="Ada Lovelace"),
                customer=KnownCaller("Ada Lovelace", ADAS_PROFILE),
            )
        )
        return (await self._calls.claim(carrier_call_id, "AC1", opened.nonce)).id

    async def ended(self, carrier_call_id: str, version: PersonaVersion, *, minutes_ago: int, score: float) -> None:
        call_id = await self.claimed(carrier_call_id, version)
        endings: tuple[Outcome, ...] = ("caller_hung_up", "caller_hung_up", "agent_hung_up", "engine_lost")
        outcome = endings[minutes_ago % 4]
        status: Status = "lost" if outcome == "engine_lost" else "ended"
        await self._calls.finish(
            call_id,
            status=status,
            outcome=outcome,
            duration_ms=20_000 + 977 * minutes_ago,
            turns=[Turn("agent", 300, 3_000, version.card.greeting)],
            dynamics={"onset": {"p50_ms": 700 + minutes_ago % 600, "p90_ms": 1_500}},
        )
        await self._calls.save_score(call_id, version.id, Scorecard("rules 1", "0" * 64, min(score, 1.0), 0.7, ()))
        await self.move(call_id, minutes_ago)

    async def whole(self, version: PersonaVersion, recordings: Recordings) -> str:
        call_id = await self.claimed("CAwhole", version)
        path = recordings.new(call_id)
        _write_recording(recordings.folder / path)
        turns = [Turn(side, start, end, text) for side, start, end, text in TURNS]  # pyright: ignore[reportArgumentType]
        tracks = [ipus(side, [turn[1:3] for turn in TURNS if turn[0] == side]) for side in TRACKS]
        turns[5] = replace(turns[5], backchannel=True)
        await self._calls.finish(
            call_id,
            status="ended",
            outcome="caller_hung_up",
            duration_ms=LENGTH_MS,
            recording=path,
            turns=turns,
            events=[CallEvent("digit", 27_500, "5"), CallEvent("barge_in", 18_400)],
            timing={"endpoint_ms": 480, "decode_ms": 190, "answer_ms": 35, "voice_ms": 90, "line_filled_ms": 40},
            dynamics=dynamics_of(*tracks, LENGTH_MS).summary(),
        )
        verdicts = tuple(
            Verdict(id, text, result, severity, 1.0, quote, turn, reason)  # pyright: ignore[reportArgumentType]
            for id, text, result, severity, quote, turn, reason in VERDICTS
        )
        await self._calls.save_score(call_id, version.id, Scorecard("rules 1", "0" * 64, 0.5, 5 / 6, verdicts))
        return call_id

    async def long(self, version: PersonaVersion) -> str:
        """Log a call in which everything is one word of 160 letters, some of them from right to left."""
        long = replace(version, card=version.card.model_copy(update={"title": WORD}))
        call_id = await self.claimed("CAlong", long)
        await self._calls.finish(
            call_id,
            status="ended",
            outcome="agent_hung_up",
            reason=WORD,
            turns=[Turn("agent", 300, 3_000, WORD)],
            events=[CallEvent("handoff", 500, WORD)],
        )
        verdict = Verdict("c", WORD, "fail", "critical", 1.0, WORD, 0, WORD)
        card = Scorecard(WORD[:128], "0" * 64, 0.5, 0.5, (verdict,))
        await self._calls.save_score(call_id, version.id, card, JudgeWait(None, 5))
        await self.move(call_id, 4_000)
        return call_id

    async def unjudged(self, version: PersonaVersion) -> str:
        call_id = await self.claimed("CAunjudged", version)
        turns = [Turn("agent", 300, 3_000, version.card.greeting)]
        await self._calls.finish(call_id, status="ended", outcome="caller_hung_up", turns=turns)
        verdict = Verdict("c", "Says who it is", "unresolved", "major", 1.0, "", None, "")
        card = Scorecard("rules 1", "0" * 64, 0.5, 0.5, (verdict,))
        await self._calls.save_score(call_id, version.id, card, JudgeWait(datetime.now(UTC), 0))
        await self.move(call_id, 4_100)
        return call_id

    async def left(self, carrier_call_id: str, version: PersonaVersion) -> str:
        """Log an old call whose caller left a message."""
        await self.ended(carrier_call_id, version, minutes_ago=5_000, score=0.9)
        call = await self._calls.call_by_carrier_id("twilio", carrier_call_id)
        assert call is not None
        await self._calls.save_voicemail(call.id, "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1")
        return call.id

    async def move(self, call_id: str, minutes_ago: int) -> None:
        at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        async with self._calls.database.session() as session:
            await session.execute(update(CallRow).where(CallRow.id == call_id).values(created_at=at))


def _write_recording(path: Path) -> None:
    """Write noise with the rhythm of syllables wherever a turn says that somebody spoke."""
    random = np.random.default_rng(1)
    tracks = np.zeros((LENGTH_MS * SAMPLES_PER_MS, 2), "<i2")
    for side, start_ms, end_ms, _text in TURNS:
        seconds = np.arange((end_ms - start_ms) * SAMPLES_PER_MS) / SAMPLE_HZ
        rhythm = np.abs(np.sin(np.pi * 3.3 * seconds)) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * seconds))
        sound = random.normal(0, 5_000, len(seconds)) * rhythm
        tracks[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS, TRACKS[side]] = sound.clip(-32_000, 32_000)  # pyright: ignore[reportArgumentType]
    path.parent.mkdir(parents=True)
    path.write_bytes(wav_header(len(tracks)) + tracks.tobytes())
