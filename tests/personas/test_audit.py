"""The audit log: what is written down, with what it is about, and how it is read."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from personas.accounts import AccountError, Accounts
from personas.audit import Action, Actor, AuditFilter, AuditLog, BadAuditCursor, Subject, command_line
from personas.db import Database
from personas.errors import NumberChanged, PersonaInUse
from personas.library import load_library
from personas.numbers import NumberSettings
from personas.store import PersonaStore
from personas.tables import AuditRow
from tests.personas.browser import Browser

ANN = Actor("ann", "7")
DENTAL, BANK = (
    next(card for card in load_library() if card.slug == slug) for slug in ("brightwater-dental", "copperfield-bank")
)
CALL = Subject("call", "c1", "Front desk")
HOUR = timedelta(hours=1)
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def log(database: Database) -> AuditLog:
    return AuditLog(database)


async def told(log: AuditLog) -> list[tuple[str, str, str, str]]:
    """Who, what, on what and the detail, oldest first."""
    entries = (await log.entries()).entries
    return [(each.actor.name, each.action, each.subject.id, each.detail) for each in reversed(entries)]


async def test_changes_of_personas_and_numbers_are_written_down_with_who_made_them(
    database: Database, log: AuditLog
) -> None:
    store = PersonaStore(database).by(ANN)
    await store.save_draft(DENTAL)
    await store.publish(DENTAL.slug)
    await store.publish(DENTAL.slug)  # which changes nothing
    await store.by(command_line()).import_cards([BANK, DENTAL])
    first = NumberSettings("+15550100", DENTAL.slug, human_number="+15550177")
    for settings in (first, first, NumberSettings("+15550100", BANK.slug, on_full="wait")):
        await store.save_number(settings)
    await store.clear_number("+15550100")
    for change in (store.archive, store.archive, store.bring_back, store.bring_back):
        await change(BANK.slug)
    me = command_line().name
    assert await told(log) == [
        ("ann", "persona_published", DENTAL.slug, "version 1"),
        (me, "persona_published", BANK.slug, "version 1, from a file"),
        ("ann", "number_set", "+15550100", f"answered by {DENTAL.slug}"),
        ("ann", "number_set", "+15550100", f"answered by {BANK.slug}; changed: human number, on full"),
        ("ann", "number_cleared", "+15550100", f"was answered by {BANK.slug}"),
        ("ann", "persona_archived", BANK.slug, ""),
        ("ann", "persona_brought_back", BANK.slug, ""),
    ]
    newest = (await log.entries(limit=1)).entries[0]
    assert (newest.actor, newest.subject) == (ANN, Subject("persona", BANK.slug, BANK.title))


async def test_what_was_not_done_is_not_written_down(database: Database, log: AuditLog) -> None:
    store = PersonaStore(database).by(ANN)
    await store.import_cards([DENTAL])
    await store.set_number("+15550100", DENTAL.slug)
    before = await told(log)
    with pytest.raises(PersonaInUse):
        await store.archive(DENTAL.slug)
    with pytest.raises(NumberChanged):
        await store.save_number(NumberSettings("+15550100", DENTAL.slug, on_full="wait"), base="")
    with pytest.raises(NumberChanged):
        await store.clear_number("+15550100", base="another")
    with pytest.raises(AccountError):
        await Accounts(database, ANN).remove("bob")
    assert await told(log) == before


async def test_users_are_named_also_after_they_are_gone(database: Database, log: AuditLog) -> None:
    accounts = Accounts(database, ANN)
    await accounts.add("ann", "correct horse")
    bob = await accounts.add("Bob", "correct horse")
    await accounts.set_password("bob", "another password")
    await accounts.remove("bob")
    entries = (await log.entries()).entries
    assert [each.action for each in entries] == ["user_removed", "password_changed", "user_added", "user_added"]
    assert {each.subject for each in entries[:3]} == {Subject("user", str(bob.id), "bob")}


async def test_the_same_is_written_down_once_in_a_while(database: Database, log: AuditLog) -> None:
    for actor in (ANN, ANN, Actor("ann", "8"), Actor("bob", "9")):
        await log.record(actor, Action.CALL_OPENED, CALL, once_in=HOUR)
    await log.record(ANN, Action.RECORDING_PLAYED, CALL, once_in=HOUR)
    await log.record(ANN, Action.CALL_OPENED, Subject("call", "c2"), once_in=HOUR)
    assert len(await told(log)) == 5
    async with database.session() as session:
        await session.execute(update(AuditRow).values(at=datetime.now(UTC) - HOUR))
    await log.record(ANN, Action.CALL_OPENED, CALL, once_in=HOUR)
    assert len(await told(log)) == 6


async def test_many_write_at_once(log: AuditLog) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(log.record(ANN, Action.CALL_OPENED, Subject("call", str(number % 10)), once_in=HOUR))
    assert {subject for _, _, subject, _ in await told(log)} == {str(number) for number in range(10)}


async def test_the_log_is_read_page_by_page_and_by_what_is_wanted(database: Database, log: AuditLog) -> None:
    for number in range(7):
        action = Action.CALL_OPENED if number % 2 else Action.CALL_HUNG_UP
        await log.record(ANN if number < 4 else Actor("bob"), action, Subject("call", str(number)), "x" * 1_000)
    seen, cursor = [], ""
    while cursor is not None:
        page = await log.entries(limit=3, cursor=cursor)
        seen += [entry.subject.id for entry in page.entries]
        cursor = page.next_cursor
    assert seen == list("6543210")
    wanted = AuditFilter(actor="ann", action="call_opened")
    assert [entry.subject.id for entry in (await log.entries(wanted)).entries] == ["3", "1"]
    now = datetime.now(UTC)
    assert len((await log.entries(AuditFilter(since=now - HOUR, until=now + HOUR))).entries) == 7
    assert not (await log.entries(AuditFilter(until=now - HOUR))).entries
    for cursor in ("x", "2026-11-21_x", "0001-01-01T00:00:00+14:00_1"):
        with pytest.raises(BadAuditCursor):
            await log.entries(cursor=cursor)
    assert not (await log.entries(cursor="0001-01-02T00:00:00+00:00_" + "9" * 40)).entries


async def test_the_page_shows_who_did_what(browser: Browser, database: Database) -> None:
    store = PersonaStore(database)
    await store.import_cards([DENTAL, BANK])
    form = {"number": "+15550100", "persona_slug": DENTAL.slug}
    await browser.post("/numbers", await browser.get("/numbers"), **form)
    await browser.post("/numbers/clear", await browser.get("/numbers?edit=%2B15550100"), number="+15550100")
    page = await browser.get(f"/personas/{BANK.slug}")
    await browser.post(f"/personas/{BANK.slug}/archive", page)
    await browser.post(f"/personas/{BANK.slug}/bring-back", await browser.get(f"/personas/{BANK.slug}"))
    await store.save_draft(BANK.model_copy(update={"greeting": "Hi."}))
    page = await browser.get(f"/personas/{BANK.slug}?version=2")
    assert (await browser.post(f"/personas/{BANK.slug}/publish", page)).status_code == 303
    admins = AuditFilter(actor="admin")
    actions = [entry.action for entry in (await AuditLog(database).entries(admins)).entries]
    assert actions == [
        *("persona_published", "persona_brought_back", "persona_archived", "number_cleared", "number_set", "signed_in")
    ]
    page = await browser.get("/audit?user=admin&action=persona_published")
    assert f'href="/personas/{BANK.slug}"' in page
    assert page.count("<tr>") == 2
    assert "No entry matches" in await browser.get("/audit?until=2020-01-01")
    lines = list(csv.DictReader(io.StringIO(await browser.get("/audit.csv?action=number_set"))))
    assert [(line["user"], line["kind"], line["id"]) for line in lines] == [("admin", "number", "+15550100")]
    assert (await AuditLog(database).entries(limit=1)).entries[0].action == "list_downloaded"


@only_sqlite
async def test_a_day_of_the_page_is_one_of_the_consoles_zone(browser: Browser) -> None:
    today = datetime.now(ZoneInfo("UTC")).date().isoformat()
    assert "Signed in" in await browser.get(f"/audit?since={today}&until={today}&action=signed_in")
    for query in ("since=yesterday", "cursor=x"):
        with pytest.raises(AssertionError):
            await browser.get(f"/audit?{query}")


async def test_who_is_refused_is_named_only_where_the_name_is_a_users(browser: Browser, log: AuditLog) -> None:
    await browser.post("/logout", await browser.get("/personas"))
    for name in ("admin", "ADMIN ", "my secret password", "another"):
        page = await browser.get("/login")
        assert (await browser.post("/login", page, name=name, password="wrong", next="/")).status_code == 401
    entries = (await log.entries(AuditFilter(action="sign_in_refused"))).entries
    assert [each.actor.name for each in entries] == ["", "admin", "admin"]  # of unknown names one a minute
    assert "secret" not in json.dumps([(each.detail, each.subject.title) for each in entries])
    assert entries[0].detail == "from 127.0.0.1"
