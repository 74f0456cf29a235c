"""Roles in the console: what each user sees, who changes them, and when that holds."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import permutations

import httpx
import pytest
from fastapi import FastAPI

from personas.accounts import AccountError, Accounts
from personas.admin import console, user_pages
from personas.admin.csrf import SESSION_S
from personas.db import Database
from personas.library import load_library
from personas.roles import Role
from personas.store import PersonaStore
from tests.personas.browser import Browser

PASSWORD = "correct horse"
SignIn = Callable[..., Awaitable[Browser]]
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def accounts(database: Database) -> Accounts:
    """Users of each role: boss, ed and ann."""
    accounts = Accounts(database)
    for name, role in (("boss", Role.ADMIN), ("ed", Role.EDITOR), ("ann", Role.ANALYST)):
        await accounts.add(name, PASSWORD, role)
    return accounts


@pytest.fixture
async def sign_in(database: Database, accounts: Accounts) -> AsyncIterator[SignIn]:
    """``await sign_in("ann")`` → a browser in which she is signed in."""
    app = FastAPI()
    console.mount(app, database=database, session_secret="s" * 40, secure=False)
    async with AsyncExitStack() as stack:

        async def enter(name: str, password: str = PASSWORD) -> Browser:
            transport = httpx.ASGITransport(app)
            browser = Browser(
                await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://test"))
            )
            form = {"name": name, "password": password, "next": "/personas"}
            assert (await browser.post("/login", await browser.get("/login"), **form)).status_code == 303
            return browser

        yield enter


async def status(browser: Browser, path: str = "/personas") -> int:
    return (await browser.client.get(path)).status_code


@only_sqlite
async def test_pages_show_what_one_may_do(sign_in: SignIn, database: Database) -> None:
    await PersonaStore(database).import_cards([card for card in load_library() if card.slug == "brightwater-dental"])
    seen = {}
    for name in ("ann", "ed", "boss"):
        browser = await sign_in(name)
        page = await browser.get("/personas") + await browser.get("/personas/brightwater-dental")
        seen[name] = {
            "changes": "/new-persona" in page and "-dental/edit" in page and "/archive" in page,
            "nothing": "/new-persona" not in page and "-dental/edit" not in page and "/archive" not in page,
            "sections": tuple(re.findall(r'nav-link-title">(\w+)', await browser.get("/account"))),
        }
    assert [each["changes"] for each in seen.values()] == [False, True, True]
    assert [each["nothing"] for each in seen.values()] == [True, False, False]
    assert [each["sections"] for each in seen.values()] == [
        ("Personas",),
        ("Personas", "Numbers"),
        ("Personas", "Numbers", "Users", "Audit"),
    ]


async def test_a_role_holds_from_the_next_request_on(sign_in: SignIn, accounts: Accounts) -> None:
    ann, boss = await sign_in("ann"), await sign_in("boss")
    assert await status(ann, "/numbers") == 403
    page = await boss.get("/users?edit=ann")
    assert (await boss.post("/users/role", page, name="ann", role="editor")).status_code == 303
    assert await status(ann, "/numbers") == 200
    await boss.post("/users/role", page, name="ann", role="analyst")
    assert await status(ann, "/numbers") == 403
    assert (await boss.post("/users/role", page, name="ann", role="boss")).status_code == 400


async def test_users_are_added_with_a_password_that_is_shown_once(sign_in: SignIn) -> None:
    boss = await sign_in("boss")
    page = await boss.get("/users")
    added = await boss.post("/users", page, name="Bob", password="", role="editor")
    made_up = re.search(r"<code[^>]*>([^<]+)</code>", added.text)
    assert made_up
    assert made_up[1] not in await boss.get("/users")
    bob = await sign_in("bob", made_up[1])
    assert await status(bob, "/numbers") == 200
    again = await boss.post("/users", page, name="BOB", password="", role="editor")
    assert (again.status_code, "a user bob already" in again.text) == (422, True)
    short = await boss.post("/users", page, name="carol", password="short", role="analyst")
    assert (short.status_code, "8 to 256" in short.text, 'value="carol"' in short.text) == (422, True, True)


async def test_of_many_users_some_are_found_by_a_part(sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_pages, "MOST_USERS", 2)
    boss = await sign_in("boss")
    page = await boss.get("/users")
    assert ("There are more" in page, "edit=ed" in page) == (True, False)
    page = await boss.get("/users?part=ED")
    assert ("There are more" in page, "edit=ed" in page, "edit=ann" in page) == (False, True, False)
    assert "holds this" in await boss.get("/users?part=%25")
    assert "Change <bdi>ed" in await boss.get("/users?edit=ed")


async def test_an_admin_ends_the_sessions_of_others(sign_in: SignIn) -> None:
    boss = await sign_in("boss")
    page = await boss.get("/users?edit=ann")
    for act, fields in (("sign-out", {}), ("password", {"password": "another password"}), ("remove", {})):
        ann = await sign_in("ann", PASSWORD if act != "remove" else "another password")
        assert (await boss.post(f"/users/{act}", page, name="ann", **fields)).status_code in (200, 303)
        assert await status(ann) == 401, act
    for act in ("sign-out", "role", "remove"):
        gone = await boss.post(f"/users/{act}", page, name="ann", role="editor")
        assert (gone.status_code, "there is no user ann" in gone.text) == (409, True)
    assert await status(boss, "/users?edit=ann") == 404


async def test_one_changes_ones_own_password_knowing_the_present_one(sign_in: SignIn) -> None:
    here, elsewhere = await sign_in("ann"), await sign_in("ann")

    async def change(current: str, new: str, again: str) -> httpx.Response:
        fields = {"current": current, "new": new, "again": again}
        return await here.post("/account/password", await here.get("/account"), **fields)

    for fields, why in (
        (("wrong password", "another password", "another password"), "not your present password"),
        ((PASSWORD, "another password", "anothr password"), "differ"),
        ((PASSWORD, "short", "short"), "8 to 256"),
    ):
        refused = await change(*fields)
        assert (refused.status_code, why in refused.text) == (422, True)
        assert await status(elsewhere) == 200
    assert "is changed" in (await change(PASSWORD, "another password", "another password")).text
    assert (await status(here), await status(elsewhere)) == (200, 401)
    for _ in range(5):
        await change("wrong password", PASSWORD, PASSWORD)
    assert "Too many wrong passwords" in (await change("another password", PASSWORD, PASSWORD)).text


@only_sqlite
async def test_who_has_borrowed_an_admins_browser_cannot_take_the_account(sign_in: SignIn) -> None:
    boss = await sign_in("boss")
    page = await boss.get("/users")
    for name in ("boss", " BOSS "):
        assert (await boss.post("/users/password", page, name=name, password="another password")).status_code == 409
    assert await sign_in("boss")


async def test_signing_out_everywhere_ends_copies_of_a_cookie(sign_in: SignIn) -> None:
    ann = await sign_in("ann")
    stolen = dict(ann.client.cookies)
    assert (await ann.post("/account/sign-out", await ann.get("/account"))).status_code == 303
    ann.client.cookies.update(stolen)
    assert await status(ann) == 401
    assert await status(await sign_in("ann")) == 200


@only_sqlite
async def test_a_session_ends_after_its_time_whatever_is_done_in_it(
    sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await sign_in("ann")
    now = time.time()
    monkeypatch.setattr("personas.admin.session.time", lambda: now + SESSION_S - 60)
    page = await ann.get("/account")
    monkeypatch.setattr("personas.admin.session.time", lambda: now + SESSION_S + 60)
    assert await status(ann) == 401
    assert (await ann.post("/account/sign-out", page)).status_code == 401


async def test_the_last_admin_stays(accounts: Accounts) -> None:
    for attempt in (accounts.remove("boss"), accounts.set_role("boss", Role.EDITOR)):
        with pytest.raises(AccountError, match="boss is the only admin"):
            await attempt
    await accounts.set_role("boss", Role.ADMIN)
    await accounts.set_role("ed", Role.ADMIN)
    await accounts.set_role("boss", Role.ANALYST)
    with pytest.raises(AccountError, match="ed is the only admin"):
        await accounts.remove("ed")


@pytest.mark.parametrize("act", ["remove", "demote"])
async def test_two_admins_who_act_on_each_other_at_once_leave_one(
    accounts: Accounts, database: Database, act: str
) -> None:
    for first, second in permutations(("boss", "ed")):
        for name in (first, second):
            if await accounts.named(name) is None:
                await accounts.add(name, PASSWORD)
        for name in (first, second):
            await accounts.set_role(name, Role.ADMIN)
        hands = Accounts(database), Accounts(database)
        done = await asyncio.gather(
            *(
                hand.remove(name) if act == "remove" else hand.set_role(name, Role.ANALYST)
                for hand, name in zip(hands, (first, second), strict=True)
            ),
            return_exceptions=True,
        )
        assert sorted(type(each) for each in done if each) == [AccountError]
        assert sum(user.role == Role.ADMIN for user in await accounts.users()) == 1


async def test_the_first_user_is_admin_and_later_ones_are_analysts_unless_said(database: Database) -> None:
    accounts = Accounts(database)
    with pytest.raises(AccountError, match="no admin yet"):
        await accounts.add("ann", PASSWORD, Role.EDITOR)
    assert (await accounts.add("ann", PASSWORD)).role == Role.ADMIN
    assert (await accounts.add("bob", PASSWORD)).role == Role.ANALYST
