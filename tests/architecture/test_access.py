"""Every route of the console and who may use it: a new one fails here until its role is written down."""

import re
import shutil
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from agent.app import create_app
from agent.engines.loopback.engine import LoopbackEngine
from agent.settings import load
from personas.accounts import Accounts
from personas.admin import console
from personas.admin.access import ANALYST, role_of
from personas.admin.section import Section
from personas.db import Database
from personas.roles import Role
from tests.personas.browser import Browser, hidden_field
from tests.personas.conftest import cheap_hashing as cheap_hashing

PASSWORD = "correct horse"
OPEN = {"GET /login", "POST /login", "POST /logout"}
SIGNED_IN = {"GET /"}
ROLES = {
    Role.ANALYST: {
        *("GET /calls", "GET /calls.csv", "POST /calls/search", "GET /calls/{call_id}", "GET /calls/{call_id}/status"),
        *("GET /calls/{call_id}/recording", "GET /calls/{call_id}/peaks", "GET /calls/{call_id}/live"),
        *("GET /overview", "GET /personas", "GET /personas/{slug}"),
        *("GET /customers", "POST /customers/search", "GET /customers/{id}"),
        *("GET /account", "POST /account/password", "POST /account/sign-out"),
    },
    Role.EDITOR: {
        *("POST /calls/{call_id}/hang-up", "POST /calls/{call_id}/hand-off"),
        *("POST /calls/{call_id}/hold", "POST /calls/{call_id}/release"),
        *("GET /new-persona", "POST /personas", "GET /personas/{slug}/edit", "POST /personas/{slug}/publish"),
        *("POST /personas/{slug}/archive", "POST /personas/{slug}/bring-back"),
        *("GET /personas/{slug}/talk", "POST /personas/{slug}/talk"),
        *("GET /numbers", "POST /numbers", "POST /numbers/clear"),
        *("POST /customers", "GET /customers/new", "GET /customers/{id}/edit", "POST /customers/{id}/remove"),
        *("GET /customers/import", "POST /customers/import"),
    },
    Role.ADMIN: {
        *("GET /users", "POST /users", "POST /users/role", "POST /users/password", "POST /users/sign-out"),
        *("POST /users/remove", "GET /audit", "GET /audit.csv"),
        *("GET /calls/{call_id}/erase", "POST /calls/{call_id}/erase", "GET /calls/{call_id}/caller.zip"),
    },
}


@pytest.fixture
def app(tmp_path: Path, sqlite_template: Path) -> FastAPI:
    shutil.copyfile(sqlite_template, tmp_path / "parley.db")
    return create_app(load(data_dir=tmp_path, database_url=""), LoopbackEngine(1, 0))


def routes(app: FastAPI) -> dict[str, APIRoute]:
    """The console's routes by method and path."""
    mounted = next(route for route in app.routes if getattr(route, "name", "") == "console")
    found = [context.original_route for context in iter_route_contexts(mounted.app.app.routes)]
    return {
        f"{method} {route.path}": route for route in found if isinstance(route, APIRoute) for method in route.methods
    }


def test_every_route_states_the_role_it_should(app: FastAPI) -> None:
    found = routes(app)
    assert set(found) == OPEN | SIGNED_IN | set().union(*ROLES.values())
    stated = {
        role: {name for name in found if name not in OPEN | SIGNED_IN and role_of(found[name]) == role} for role in Role
    }
    assert stated == ROLES


def test_single_sign_on_adds_its_way_in_and_nothing_else(tmp_path: Path) -> None:
    provider = {"oidc_issuer": "http://127.0.0.1:9", "oidc_client_id": "x", "oidc_roles": "*=analyst"}
    found = routes(create_app(load(data_dir=tmp_path, database_url="", **provider), LoopbackEngine(1, 0)))
    sso = {"GET /login/sso", "GET /login/sso/callback", "GET /login/sso/sign-out"}
    assert set(found) == OPEN | SIGNED_IN | set().union(*ROLES.values()) | sso


@pytest.mark.parametrize("role", [None, Role.ANALYST, Role.EDITOR])
async def test_nobody_gets_further_than_their_role(app: FastAPI, role: Role | None) -> None:
    accounts = Accounts(app.state.database)
    await accounts.add("boss", PASSWORD)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        browser = Browser(client)
        page = await browser.get("/login")
        if role:
            await accounts.add("ann", PASSWORD, role)
            assert (await browser.post("/login", page, name="ann", password=PASSWORD, next="/")).status_code == 303
            page = await browser.get("/account")
        token = hidden_field(page, "csrf_token")
        for needed, names in ROLES.items():
            for method, path in sorted(name.split() for name in names):
                form = {"csrf_token": token} if method == "POST" else None
                if path.startswith("/account/"):
                    continue  # which everybody may, and is signed out by
                answer = await client.request(method, re.sub(r"{\w+}", "x", path), data=form)
                if role is None:
                    assert answer.status_code == 401, path
                elif role.includes(needed):
                    assert answer.status_code not in (401, 403), path
                else:
                    assert answer.status_code == 403, path
                    assert f"needs the role {needed}, and yours is {role}" in answer.text


def test_a_console_with_a_route_that_states_no_role_does_not_start() -> None:
    router = APIRouter()
    router.add_api_route("/things", lambda: "", dependencies=ANALYST)
    router.add_api_route("/things/secret", lambda: "")
    section = Section("Things", "/things", "phone", router)
    with pytest.raises(ValueError, match="/things/secret states no role"):
        console.mount(
            FastAPI(), database=Database("sqlite://"), session_secret="s" * 40, secure=False, sections=[section]
        )
