"""Single sign-on against a provider on a socket: who comes in as whom, and what does not let anybody in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from joserfc.jwk import OctKey

from personas.accounts import Accounts
from personas.admin import console
from personas.admin.sso import SingleSignOn
from personas.audit import AuditFilter, AuditLog
from personas.db import Database
from personas.roles import Role
from personas.sso import BadRoleMap, Person, Provider, role_map
from tests.personas.browser import Browser, hidden_field
from tests.personas.provider import CLIENT_ID, CLIENT_SECRET, KEYS, OpenIdProvider

ORIGIN, PASSWORD = "http://test", "correct horse"
ROLES = {"bosses": Role.ADMIN, "staff": Role.ANALYST, "writers": Role.EDITOR}
Enter = Callable[..., AsyncIterator[httpx.AsyncClient]]
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def provider() -> AsyncIterator[OpenIdProvider]:
    async with OpenIdProvider().serving() as provider:
        yield provider


class House:
    """A console at ``ORIGIN`` with a provider, and browsers that come to it."""

    def __init__(self, database: Database, provider: OpenIdProvider, stack: AsyncExitStack, **settings: object) -> None:
        known = Provider(provider.issuer, CLIENT_ID, CLIENT_SECRET, "groups", ROLES)
        app = FastAPI()
        sso = SingleSignOn(replace(known, **settings), ORIGIN)  # pyright: ignore[reportArgumentType]
        console.mount(app, database=database, session_secret="s" * 40, secure=False, sso=sso)
        self.app, self.provider, self._stack = app, provider, stack

    async def browser(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=ORIGIN)
        return await self._stack.enter_async_context(client)

    async def come(self, browser: httpx.AsyncClient, wanted: str = "/personas") -> httpx.Response:
        """Go to the provider and come back."""
        gone = await browser.get("/login/sso", params={"next": wanted})
        if gone.status_code != 302:
            return gone
        return await browser.get(await self.way_back(gone))

    async def way_back(self, gone: httpx.Response) -> str:
        async with httpx.AsyncClient(trust_env=False, verify=False) as network:
            return (await network.get(gone.headers["Location"])).headers["Location"]


@pytest.fixture
async def house(database: Database, provider: OpenIdProvider) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(database, provider, stack)


async def test_somebody_comes_in_as_what_the_provider_says(
    house: House, provider: OpenIdProvider, database: Database
) -> None:
    provider.claims = {"sub": "u1", "preferred_username": "Ann Miller", "groups": ["staff", "writers", "others"]}
    provider.userinfo = {"name": "Ann Miller", "email": "ann@example.com"}
    browser = await house.browser()
    page = (await browser.get("/login?next=/numbers")).text
    assert 'href="/login/sso?next=/numbers"' in page
    answer = await house.come(browser, "/numbers")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/numbers")
    assert (await browser.get("/numbers")).status_code == 200
    account = (await browser.get("/account")).text
    assert "ann@example.com" in account
    assert "Change your password" not in account
    (user,) = await Accounts(database).users()
    assert (user.name, user.role, user.is_sso, user.display_name) == ("ann-miller", Role.EDITOR, True, "Ann Miller")
    entries = (await AuditLog(database).entries()).entries
    told = [(each.actor.name, each.action, each.detail) for each in entries]
    assert told == [
        ("ann-miller", "signed_in", "by single sign-on from 127.0.0.1"),
        ("parley", "user_added", "editor, by single sign-on"),
    ]


async def test_the_second_time_they_are_the_same_user_with_the_role_of_now(
    house: House, provider: OpenIdProvider, database: Database
) -> None:
    for group, name in (("staff", "ann"), ("bosses", "ann.smith"), ("staff", "ann")):
        provider.claims = {"sub": "u1", "preferred_username": name, "name": name, "groups": [group]}
        assert (await house.come(await house.browser())).status_code == 303
        (user,) = await Accounts(database).users()
        assert (user.name, user.display_name, user.role) == ("ann", name, ROLES[group])
    provider.claims = {"sub": "u2", "preferred_username": "ann", "groups": ["staff"]}
    assert (await house.come(await house.browser())).status_code == 303
    assert [user.name for user in await Accounts(database).users()] == ["ann", "ann-2"]


async def test_nobody_becomes_a_user_with_a_password_by_their_name(
    house: House, provider: OpenIdProvider, database: Database
) -> None:
    await Accounts(database).add("admin", PASSWORD)
    provider.claims = {"sub": "u1", "preferred_username": "Admin", "groups": ["staff"]}
    browser = await house.browser()
    assert (await house.come(browser)).status_code == 303
    assert (await browser.get("/users")).status_code == 403
    assert {user.name: user.role for user in await Accounts(database).users()} == {
        "admin": Role.ADMIN,
        "admin-2": Role.ANALYST,
    }
    assert await Accounts(database).check("admin-2", "") is None
    admin = Browser(await house.browser())
    form = {"name": "admin", "password": PASSWORD, "next": "/users"}
    assert (await admin.post("/login", await admin.get("/login"), **form)).status_code == 303
    page = await admin.get("/users?edit=admin-2")
    assert "the provider says their role" in page
    for act, fields in (("role", {"role": "admin"}), ("password", {"password": PASSWORD})):
        assert (await admin.post(f"/users/{act}", page, name="admin-2", **fields)).status_code == 409
    assert (await admin.post("/users/sign-out", page, name="admin-2")).status_code == 303
    assert (await browser.get("/personas")).status_code == 401


async def test_who_has_no_role_is_told_so_and_loses_what_they_had(
    house: House, provider: OpenIdProvider, database: Database
) -> None:
    provider.claims = {"sub": "u1", "preferred_username": "ann", "groups": ["bosses"]}
    before = await house.browser()
    await house.come(before)
    for claims in ({"groups": ["strangers"]}, {"groups": {}}, {"groups": 7}, {}):
        provider.claims = {"sub": "u1", "preferred_username": "ann"} | claims
        browser = await house.browser()
        answer = await house.come(browser)
        assert answer.status_code == 403
        assert "knows you as ann, but that gives no role here" in answer.text
        assert "groups" in answer.text
        assert (await browser.get("/personas")).status_code == 401
    assert (await before.get("/personas")).status_code == 401
    refused = (await AuditLog(database).entries(AuditFilter(action="sign_in_refused"))).entries
    assert {each.actor.name for each in refused} == {"ann"}
    assert [user.role for user in await Accounts(database).users()] == [Role.ANALYST]
    provider.claims = {"sub": "u2", "preferred_username": "ann"}
    await house.come(await house.browser())
    newest = (await AuditLog(database).entries(limit=1)).entries[0]
    assert (newest.actor.name, newest.detail) == ("", "by single sign-on as ann: no role, from 127.0.0.1")


@only_sqlite
@pytest.mark.parametrize(
    "spoil",
    [
        {"aud": "another"},
        {"aud": "another", "azp": CLIENT_ID},
        {"aud": None},
        {"iss": "http://another.example"},
        {"exp": 1},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
    ],
    ids=str,
)
async def test_a_token_that_is_not_for_us_now_lets_nobody_in(
    house: House, provider: OpenIdProvider, database: Database, spoil: dict[str, object]
) -> None:
    provider.claims["groups"] = ["bosses"]
    provider.spoil = spoil
    answer = await house.come(await house.browser())
    assert (answer.status_code, "could not be verified" in answer.text) == (502, True)
    assert provider.answers == 1
    assert not await Accounts(database).users()
    provider.spoil = {}
    assert (await house.come(await house.browser())).status_code == 303


@only_sqlite
@pytest.mark.filterwarnings("ignore:JWS algorithm")  # joserfc's, of the token without a signature
@pytest.mark.parametrize("forged", ["another key", "our secret", "no key"])
async def test_a_token_that_the_provider_did_not_sign_lets_nobody_in(
    house: House, provider: OpenIdProvider, forged: str
) -> None:
    provider.claims["groups"] = ["bosses"]
    if forged == "another key":
        provider.signing_key = KEYS[2]
    else:
        provider.spoil_header = {"alg": "HS256" if forged == "our secret" else "none"}
        provider.signing_key = OctKey.import_key(CLIENT_SECRET)  # pyright: ignore[reportAttributeAccessIssue]
    assert (await house.come(await house.browser())).status_code == 502
    assert provider.answers == 1


@only_sqlite
async def test_new_keys_of_the_provider_are_fetched(house: House, provider: OpenIdProvider) -> None:
    provider.claims["groups"] = ["staff"]
    assert (await house.come(await house.browser())).status_code == 303
    provider.key = KEYS[1]
    assert (await house.come(await house.browser())).status_code == 303


@only_sqlite
async def test_a_way_back_opens_once_and_only_where_it_was_begun(house: House, provider: OpenIdProvider) -> None:
    provider.claims["groups"] = ["staff"]
    victim, attacker = await house.browser(), await house.browser()
    theirs = await house.way_back(await attacker.get("/login/sso"))
    for browser in (victim, attacker):
        answer = await browser.get(theirs)
        assert answer.status_code == (400 if browser is victim else 303)
    again = await attacker.get(theirs)
    assert (again.status_code, "begun in another window" in again.text) == (400, True)
    for path in ("/login/sso/callback", "/login/sso/callback?code=x&state=y"):
        assert (await victim.get(path)).status_code == 400
    denied = await victim.get("/login/sso/callback?error=access_denied&error_description=%3Cb%3E")
    assert (denied.status_code, "<b>" in denied.text) == (403, False)
    assert (await victim.get("/personas")).status_code == 401
    assert len(attacker.cookies["parley"]) < 300
    for length in (900, 9_000):
        await attacker.get("/login/sso?next=/" + "x" * length)
        assert len(attacker.cookies["parley"]) < 3_000  # of 4096 that browsers keep
    outside = await house.come(victim, "//evil.example")
    assert outside.headers["Location"] == "/"


@only_sqlite
async def test_our_secret_is_right_and_sent_as_the_provider_takes_it(
    house: House, provider: OpenIdProvider, database: Database
) -> None:
    provider.claims["groups"] = ["staff"]
    async with AsyncExitStack() as stack:
        wrong = House(database, provider, stack, client_secret="another")
        assert (await wrong.come(await wrong.browser())).status_code == 502
        provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        other = House(database, provider, stack)
        assert (await other.come(await other.browser())).status_code == 303


@only_sqlite
async def test_a_provider_that_is_away_leaves_passwords(
    provider: OpenIdProvider, house: House, database: Database
) -> None:
    await Accounts(database).add("admin", PASSWORD)
    provider.claims["groups"] = ["staff"]
    provider.metadata = {"issuer": "http://another.example"}
    client = await house.browser()
    for path in ("/login/sso", "/login/sso/callback?code=a&state=b", "/login/sso/sign-out"):
        answer = await client.get(path)
        assert (answer.status_code, "does not work now" in answer.text) == (503, True)
    browser = Browser(client)
    form = {"name": "admin", "password": PASSWORD, "next": "/personas"}
    assert (await browser.post("/login", await browser.get("/login"), **form)).status_code == 303
    provider.metadata = {}  # mended, without a restart here
    assert (await house.come(await house.browser())).status_code == 303


@only_sqlite
async def test_signing_out_leads_to_the_provider_too(house: House, provider: OpenIdProvider) -> None:
    provider.claims["groups"] = ["staff"]
    client = await house.browser()
    await house.come(client)
    browser = Browser(client)
    out = await browser.post("/logout", await browser.get("/personas"))
    assert out.headers["Location"] == "/login?out=true"
    assert 'href="/login/sso/sign-out"' in await browser.get("/login?out=true")
    way = urlsplit((await client.get("/login/sso/sign-out")).headers["Location"])
    assert f"{way.scheme}://{way.netloc}{way.path}" == provider.issuer + "/end"
    query = parse_qs(way.query)
    assert (query["post_logout_redirect_uri"], query["client_id"]) == ([f"{ORIGIN}/login"], [CLIENT_ID])
    assert (await client.get("/personas")).status_code == 401


@only_sqlite
async def test_where_only_the_provider_lets_in_passwords_open_nothing(
    provider: OpenIdProvider, house: House, database: Database
) -> None:
    await Accounts(database).add("admin", PASSWORD)
    before = Browser(await house.browser())
    form = {"name": "admin", "password": PASSWORD, "next": "/personas"}
    await before.post("/login", await before.get("/login"), **form)
    async with AsyncExitStack() as stack:
        only = House(database, provider, stack, is_only=True)
        browser = await only.browser()
        page = (await browser.get("/login")).text
        assert 'name="password"' not in page
        token = hidden_field((await before.client.get("/account")).text, "csrf_token")
        browser.cookies.update(before.client.cookies)
        assert (await browser.post("/login", data=form | {"csrf_token": token})).status_code == 403
        assert (await browser.get("/personas")).status_code == 401
        provider.claims["groups"] = ["staff"]
        assert (await only.come(browser)).status_code == 303
        assert (await browser.get("/personas")).status_code == 200


def test_claims_give_the_highest_of_their_roles() -> None:
    def role(claim: str, claims: dict[str, object], roles: str = "a=analyst,b=editor,c@d.com=admin") -> Role | None:
        return Provider("", "", "", claim, role_map(roles)).role(claims)

    assert role("groups", {"groups": ["a", "b", "x"]}) == Role.EDITOR
    assert role("groups", {"groups": "a"}) == Role.ANALYST
    assert role("groups", {"groups": {"b": {}}}) == Role.EDITOR
    assert role("realm.roles", {"realm": {"roles": ["b"]}}) == Role.EDITOR
    assert role("https://x.com/roles", {"https://x.com/roles": ["b"]}) == Role.EDITOR
    assert role("email", {"email": "c@d.com"}) is None
    assert role("email", {"email": "c@d.com", "email_verified": True}) == Role.ADMIN
    assert role("groups", {"groups": ["*"]}) is None
    assert role("groups", {}, "*=analyst,b=admin") == Role.ANALYST
    for text in ("a", "a=", "=admin", "a=boss"):
        with pytest.raises(BadRoleMap, match="roles are analyst, editor, admin"):
            role_map(text)
    assert role_map(" cn=x=admin , y = analyst ,") == {"cn=x": Role.ADMIN, "y": Role.ANALYST}


def test_names_are_kept_readable() -> None:
    person = Person.from_claims("i", {"sub": "1", "name": "A\x00nn\n", "email": ["x"]})
    assert (person.name, person.display_name, person.email) == ("1", "Ann", "")
