"""The console over HTTP: who gets in, what a cookie and a form must carry, what every answer says."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from personas.accounts import Accounts, ensure_admin
from personas.admin import console
from personas.admin.access import ANALYST
from personas.admin.section import Section
from personas.admin.session import local_path
from personas.admin.vendoring import PACKAGES, VENDOR
from personas.db import Database

PASSWORD = "correct horse battery"
SECRET = "s" * 40
ADMIN = Path(console.__file__).parent


@pytest.fixture
def app(database: Database) -> FastAPI:
    app = FastAPI()
    router = APIRouter()

    @router.get("/things", dependencies=ANALYST)
    async def things() -> str:
        return "a thing"

    @router.post("/things", dependencies=ANALYST)
    async def change() -> str:
        return "changed"

    @router.get("/broken", dependencies=ANALYST)
    async def broken() -> None:
        raise RuntimeError("no words of this reach the browser")

    @app.post("/carrier")
    async def carrier() -> str:
        return "the carrier needs no token"

    section = Section("Things", "/things", "phone", router)
    console.mount(app, database=database, session_secret=SECRET, secure=False, sections=[section])
    return app


@pytest.fixture
async def client(app: FastAPI, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    await ensure_admin(database, PASSWORD)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"Accept": "text/html"}
    ) as client:
        yield client


async def token(client: httpx.AsyncClient, path: str = "/login") -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', (await client.get(path)).text)
    assert found
    return found[1]


async def sign_in(client: httpx.AsyncClient, password: str = PASSWORD, **more: str) -> httpx.Response:
    form = {"name": "admin", "password": password, "csrf_token": await token(client)}
    return await client.post("/login", data=form | more)


only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_nobody_gets_in_without_signing_in(client: httpx.AsyncClient) -> None:
    for path in ("/", "/things", "/personas", "/personas/x", "/numbers"):
        answer = await client.get(path + "?a=1%262")
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/login?next=%2F")
    assert (await client.get("/things", headers={"Accept": "audio/*"})).status_code == 401
    answer = await client.get("/things", headers={"HX-Request": "true", "HX-Current-URL": "http://test/things?b=2"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/login?next=%2Fthings%3Fb%3D2")
    assert (await sign_in(client)).status_code == 303
    assert (await client.get("/things")).text == '"a thing"'


@only_sqlite
async def test_a_session_ends_with_sign_out_a_new_password_or_a_changed_cookie(
    client: httpx.AsyncClient, database: Database
) -> None:
    await sign_in(client)
    kept = client.cookies["parley"]
    await Accounts(database).set_password("admin", "another password")
    assert (await client.get("/things")).status_code == 303
    assert (await sign_in(client, "another password")).status_code == 303
    assert client.cookies["parley"] != kept
    await client.post("/logout", data={"csrf_token": await token(client, "/personas")})
    assert (await client.get("/things")).status_code == 303
    client.cookies.set("parley", kept[:-1] + "A", domain="test")
    assert (await client.get("/things")).status_code == 303


@only_sqlite
async def test_signing_in_starts_a_new_session(client: httpx.AsyncClient) -> None:
    before = await token(client)
    await sign_in(client)
    assert (await client.post("/things", data={"csrf_token": before})).status_code == 403


@only_sqlite
async def test_the_cookie_is_kept_from_scripts_and_other_sites(database: Database) -> None:
    await ensure_admin(database, PASSWORD)
    app = FastAPI()
    console.mount(app, database=database, session_secret=SECRET, secure=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://test") as client:
        device, session = sorted((await sign_in(client)).headers.get_list("Set-Cookie"))
        for cookie, name, life_s in ((session, "__Host-parley=", 43_200), (device, "__Host-parley-device=", 7_776_000)):
            assert cookie.startswith(name)
            for flag in ("httponly", "samesite=lax", "secure", "path=/", f"max-age={life_s}"):
                assert flag in cookie.lower()
        assert (await client.get("/login")).headers["Strict-Transport-Security"]


@only_sqlite
async def test_whatever_changes_something_needs_a_token(client: httpx.AsyncClient) -> None:
    assert (await client.post("/login", data={"name": "admin", "password": PASSWORD})).status_code == 403
    await sign_in(client)
    assert (await client.post("/things")).status_code == 403
    assert (await client.post("/things", data={"csrf_token": "made##up"})).status_code == 403
    assert (await client.post("/things", data={"csrf_token": await token(client, "/personas")})).status_code == 200
    assert (await client.post("/carrier")).status_code == 200


@only_sqlite
async def test_after_five_wrong_passwords_one_waits(client: httpx.AsyncClient) -> None:
    for _ in range(5):
        assert (await sign_in(client, "wrong password")).status_code == 401
    answer = await sign_in(client)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 301
    assert "Try again in 5 min" in answer.text


@only_sqlite
async def test_a_page_that_is_missing_keeps_the_navigation(client: httpx.AsyncClient) -> None:
    stranger = await client.get("/nowhere")
    await sign_in(client)
    known = await client.get("/nowhere")
    assert [(each.status_code, 'aria-label="Main"' in each.text) for each in (stranger, known)] == [
        (404, False),
        (404, True),
    ]


@only_sqlite
async def test_a_browser_that_signed_in_before_is_not_kept_out_by_strangers(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    signed_in = await sign_in(client)
    assert "HttpOnly" in next(each for each in signed_in.headers.get_list("set-cookie") if "device" in each)
    await client.post("/logout", data={"csrf_token": await token(client, "/personas")})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as stranger:
        for _ in range(5):
            assert (await sign_in(stranger, "wrong password")).status_code == 401
        assert (await sign_in(stranger)).status_code == 429
    assert (await sign_in(client)).status_code == 303


@pytest.mark.parametrize(
    ("wanted", "led_to"),
    [
        ("/calls?status=live", "/calls?status=live"),
        ("", "/"),
        ("calls", "/"),
        ("//evil.example/x", "/"),
        ("/\\evil.example", "/"),
        ("/x\\y", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\tevil", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("//[", "/"),
    ],
)
def test_a_login_leads_to_pages_of_this_server_only(wanted: str, led_to: str) -> None:
    assert local_path(wanted) == led_to


@only_sqlite
async def test_every_answer_is_guarded(client: httpx.AsyncClient) -> None:
    for path in ("/login", "/things", "/nowhere", "/broken"):
        headers = (await client.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
    asset = re.search(r'href="(/static/console\.css\?v=[^"]+)"', (await client.get("/login")).text)
    assert asset
    answer = await client.get(asset[1])
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]


async def test_what_cannot_be_read_is_the_sender_s_fault(client: httpx.AsyncClient) -> None:
    form = {"name": "ad\0min", "password": PASSWORD, "csrf_token": await token(client)}
    assert (await client.post("/login", data=form)).status_code in (400, 401)
    large = {"name": "x" * 600_000, "csrf_token": await token(client)}
    assert (await client.post("/login", data=large)).status_code == 400
    await sign_in(client)
    assert (await client.get("/personas/%00")).status_code in (400, 404)


@only_sqlite
async def test_errors_are_pages_that_give_nothing_away(client: httpx.AsyncClient) -> None:
    await sign_in(client)
    missing = await client.get("/nowhere")
    assert (missing.status_code, "There is no page at this address." in missing.text) == (404, True)
    assert (await client.get("/personas/nobody")).status_code == 404
    assert (await client.get("/personas/nobody?version=x")).status_code == 400
    broken = await client.get("/broken")
    assert broken.status_code == 500
    assert "no words of this" not in broken.text


@pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)
async def test_a_database_without_tables_is_said_so(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    app = FastAPI()
    console.mount(app, database=database, session_secret=SECRET, secure=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await sign_in(client)
    await database.close()
    assert answer.status_code == 503
    assert "parley db upgrade" in answer.text


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="PARLEY_SESSION_SECRET"):
        console.mount(FastAPI(), database=Database("sqlite://"), session_secret="short", secure=False)


def test_nothing_is_loaded_from_elsewhere_and_no_script_or_style_is_inline() -> None:
    root = ADMIN.parents[1]
    templates = [*ADMIN.glob("templates/*.html"), *root.glob("crm/admin/templates/*.html")]
    assert templates
    for template in templates:
        text = template.read_text()
        assert not re.search(r"""(src|href|action)=["']?(https?:)?//""", text), template.name
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style|javascript:", text), template.name


def test_every_vendored_package_has_its_licence_and_is_listed() -> None:
    listed = (VENDOR / "VENDORED.md").read_text()
    for package in PACKAGES:
        assert (VENDOR / package.folder / "LICENSE").stat().st_size > 200
        assert f"| {package.name} | {package.version} |" in listed
    folders = {path.name for path in VENDOR.iterdir() if path.is_dir()}
    assert folders == {package.folder for package in PACKAGES}
