"""The console: the pages of every section behind one login, in one application mounted below the carrier's routes."""

import hmac
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.telemetry import TelemetryConfig
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from personas.accounts import Accounts
from personas.admin import account_pages, audit_pages, user_pages
from personas.admin import pages as persona_pages
from personas.admin.access import role_of
from personas.admin.csrf import SESSION_S, token_required
from personas.admin.headers import SecurityHeaders
from personas.admin.rendering import STATIC, Pages
from personas.admin.section import Section
from personas.admin.session import SignInNeeded, ask_to_sign_in, login_router, signed_in
from personas.admin.talking import Dial
from personas.admin.throttle import Throttle
from personas.audit import AuditLog
from personas.db import Database
from personas.store import PersonaStore

if TYPE_CHECKING:
    from personas.admin.sso import SingleSignOn  # which needs the package authlib

UNTOLD: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI's own telemetry tells addresses and what errors say; what is traced here is chosen (agent.tracing)."""

LEAST_SECRET = 32
log = structlog.get_logger(__name__)


def mount(
    app: FastAPI,
    *,
    database: Database,
    session_secret: str,
    secure: bool,
    sections: Sequence[Section] = (),
    own_voices: Collection[str] = (),
    time_zone: tzinfo = UTC,
    dial: Dial | None = None,
    sso: "SingleSignOn | None" = None,
) -> None:
    """Serve the console at every path that ``app`` has no route for; call it after all routes are added.

    Args:
        session_secret: the key that signs login cookies, at least 32 characters, the same in all processes.
        secure: whether browsers reach the console by https only (the public URL's scheme): marks cookies Secure.
        sections: parts of other packages, e.g. ``crm.admin.pages.section(…)``; the first one is the start page.
        own_voices: what role cards may ask for beside the published voices.
        time_zone: whose days are counted and whose times are shown.
        dial: what test calls are made with; without it personas can't be talked to.
        sso: the provider that people sign in by, beside passwords or instead of them.

    Raises:
        ValueError: the secret is too short, or a route of a section states no role.
    """
    if len(session_secret) < LEAST_SECRET:
        raise ValueError(f"PARLEY_SESSION_SECRET needs at least {LEAST_SECRET} characters")
    console = FastAPI(title="Parley", docs_url=None, redoc_url=None, openapi_url=None, telemetry=UNTOLD)
    console.state.accounts = Accounts(database)
    console.state.sso = sso
    console.state.audit = AuditLog(database)
    console.state.time_zone = time_zone
    console.state.throttle = Throttle(database, hmac.digest(session_secret.encode(), b"throttle", "sha256"))
    console.state.device_cookie = "__Host-parley-device" if secure else "parley-device"
    console.state.csrf_secret = hmac.digest(session_secret.encode(), b"csrf", "sha256")
    about_personas = persona_pages.sections(PersonaStore(database), own_voices, dial)
    console.state.sections = (*sections, *about_personas, user_pages.section(), audit_pages.section())
    console.add_middleware(
        SessionMiddleware,
        secret_key=session_secret,
        session_cookie="__Host-parley" if secure else "parley",
        max_age=SESSION_S,
        same_site="lax",
        https_only=secure,
    )
    console.mount("/static", _KeptFiles(directory=STATIC))
    console.include_router(login_router(), dependencies=[Depends(token_required())])
    if sso:
        console.include_router(sso.router())
    for section in (account_pages.section(), *console.state.sections):
        for route in section.router.routes:
            role_of(route)  # which says so where one states none
        needs_token = token_required(section.largest_form_bytes)
        console.include_router(section.router, dependencies=[Depends(signed_in), Depends(needs_token)])
    start = console.state.sections[0].path
    console.add_api_route("/", lambda: RedirectResponse(start, 303), dependencies=[Depends(signed_in)])
    _answer_errors(console)
    app.mount("/", SecurityHeaders(console, secure), name="console")


class _KeptFiles(StaticFiles):
    """Static files; an address that carries its content's version may be kept for good."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        is_versioned = scope["query_string"].startswith(b"v=")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_versioned else "no-cache"
        return response


def _answer_errors(console: FastAPI) -> None:
    pages = Pages("personas")

    async def expected(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = {403: "Not allowed", 404: "Not found", 405: "Not possible"}.get(error.status_code, "That didn't work")
        with suppress(SignInNeeded, SQLAlchemyError):  # an address without a page asks for nobody's name
            await signed_in(request)
        missing = error.status_code == 404 and error.detail == "Not Found"
        text = "There is no page at this address." if missing else error.detail
        return await pages(request, "error.html", status=error.status_code, title=title, text=text)

    async def unreadable(request: Request, _error: Exception) -> Response:
        text = "The address or the form has a part that can't be read. Go back and choose again."
        return await pages(request, "error.html", status=400, title="That didn't work", text=text)

    async def database_away(request: Request, error: Exception) -> Response:
        log.error("console cannot reach the database", path=request.url.path, error=type(error).__name__)
        text = "The database can't be reached, or 'parley db upgrade' was forgotten. The server's log says more."
        return await pages(request, "error.html", status=503, title="No database", text=text)

    async def unexpected(request: Request, _error: Exception) -> Response:
        text = "The page failed. The server's log says why."
        return await pages(request, "error.html", status=500, title="Something broke", text=text)

    console.add_exception_handler(SignInNeeded, ask_to_sign_in)
    console.add_exception_handler(HTTPException, expected)
    console.add_exception_handler(RequestValidationError, unreadable)
    console.add_exception_handler(DataError, unreadable)  # e.g. a NUL, which PostgreSQL takes in no text
    console.add_exception_handler(SQLAlchemyError, database_away)
    console.add_exception_handler(Exception, unexpected)
