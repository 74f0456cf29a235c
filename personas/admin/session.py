"""Who is signed in: login, logout and the dependency that guards every page.

login ──▶ signed cookie {user, stamp, since} ──▶ signed_in ──▶ a page
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import time
from urllib.parse import quote

import structlog
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData, State, UploadFile
from starlette.responses import Response

from personas.accounts import CONSOLE_ITSELF, Accounts, User
from personas.admin.csrf import SAFE_METHODS, SESSION_S
from personas.admin.rendering import Pages
from personas.admin.throttle import DEVICE_S
from personas.audit import Action, Actor

log = structlog.get_logger(__name__)
NOBODY = Actor("")  # not the name that was given: it may be a password in the wrong field, or another user's
UNKNOWN_NAMES_NOTED_EVERY = timedelta(minutes=1)  # strangers may make up as many as they like
_pages = Pages("personas")
_ORIGIN = re.compile(r"^https?://[^/]*")


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer."""


async def signed_in(request: Request) -> User:
    """Dependency of every page: return who is signed in.

    Raises:
        SignInNeeded: nobody, or too long ago; or the user is gone, was signed out everywhere or has another password
            by now.
    """
    accounts: Accounts = request.app.state.accounts
    user_id = request.session.get("user")
    if time() - request.session.get("since", 0) >= SESSION_S:
        raise SignInNeeded
    user = await accounts.user(user_id) if isinstance(user_id, int) else None
    if user is None or user.stamp != request.session.get("stamp"):
        raise SignInNeeded
    if not (user.is_sso or _takes_passwords(request.app.state)):
        raise SignInNeeded
    request.state.user = user
    return user


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a password opens nothing: a sentence, the answer's status, and for how many seconds none is looked at."""

    text: str
    status: int
    wait_s: int = 0


async def password_checked(request: Request, name: str, password: str) -> User | Refusal:
    """Return whose name and password these are; wrong ones are counted and written down."""
    state, address = request.app.state, address_of(request)
    device = request.cookies.get(state.device_cookie, "")
    if wait_s := await state.throttle.attempt(name, address, device):
        return Refusal(f"Too many wrong passwords. Try again in {-(-wait_s // 60)} min.", 429, wait_s)
    user = await state.accounts.check(name, password)
    if user is None:
        log.warning("sign-in refused", address=address)  # not the name: people type passwords there
        await _note_refusal(state, name, address)
        return Refusal("The user name or the password is wrong.", 401)
    await state.throttle.succeeded(name, address, device)
    return user


async def let_in(request: Request, user: User, how: str = "") -> None:
    """Sign a user in, in this browser, and write it down."""
    address = address_of(request)
    await request.app.state.accounts.let_in(user, " ".join(filter(None, (how, _from(address)))))
    log.info("signed in", user=user.name, address=address)
    begin_session(request, user)


def begin_session(request: Request, user: User) -> None:
    """Let a browser's cookie say who is signed in."""
    request.session.clear()  # a session from before the login must not live on in it
    request.session.update(user=user.id, stamp=user.stamp, since=int(time()))


def make_room(request: Request) -> None:
    """Forget what pages remember in the session: its cookie has 4096 bytes, and a way to the provider takes 1500."""
    kept = {name: request.session[name] for name in ("user", "stamp", "since", "csrf") if name in request.session}
    request.session.clear()
    request.session.update(kept)


def local_path(wanted: str) -> str:
    """Return ``wanted`` if it is a path on this server, else "/": a login must not send anybody elsewhere."""
    is_local = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return wanted if is_local else "/"


async def ask_to_sign_in(request: Request, _error: Exception) -> Response:
    """Send a browser to the login page and back afterwards; answer anything else with 401."""
    is_htmx = "HX-Request" in request.headers
    if is_htmx:
        page = _ORIGIN.sub("", request.headers.get("HX-Current-URL", ""))
    else:
        page = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    login = f"/login?next={quote(local_path(page) if request.method in SAFE_METHODS else '/', safe='')}"
    if is_htmx:
        return Response("Sign in first.", 401, {"HX-Redirect": login})
    if "text/html" in request.headers.get("Accept", ""):
        return RedirectResponse(login, 303)
    return Response("Sign in first.", 401, media_type="text/plain")


async def show_login(
    request: Request, *, error: str = "", status: int = 200, next: str = "/", name: str = "", is_out: bool = False
) -> Response:
    """Show the page to sign in; ``is_out``: somebody just signed out, who may still be signed in at the provider."""
    state = request.app.state
    ways = {"has_sso": state.sso is not None, "has_passwords": _takes_passwords(state)}
    values = {"next": local_path(next), "name": name, "error": error, "is_out": is_out and ways["has_sso"]}
    return await _pages(request, "login.html", status=status, **ways | values)


def login_router() -> APIRouter:
    """Return the routes that work without being signed in."""
    router = APIRouter()

    @router.get("/login")
    async def show(request: Request, next: str = "/", out: bool = False) -> Response:
        return await show_login(request, next=next, is_out=out)

    @router.post("/login")
    async def sign_in(request: Request) -> Response:
        form, state = await request.form(), request.app.state
        name, password, wanted = (typed(form, field) for field in ("name", "password", "next"))
        if not _takes_passwords(state):
            raise HTTPException(403, "Nobody signs in with a password here: PARLEY_OIDC_ONLY is set.")
        user = await password_checked(request, name, password)
        if isinstance(user, Refusal):
            page = await show_login(request, error=user.text, status=user.status, next=wanted, name=name)
            if user.wait_s:
                page.headers["Retry-After"] = str(user.wait_s)
            return page
        await let_in(request, user)
        answer = RedirectResponse(local_path(wanted), 303)
        keep = {"max_age": DEVICE_S, "secure": state.device_cookie.startswith("__Host-")}
        answer.set_cookie(state.device_cookie, state.throttle.remembered(name), httponly=True, samesite="lax", **keep)
        return answer

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        is_sso = False
        with suppress(SignInNeeded):
            is_sso = (await signed_in(request)).is_sso
        request.session.clear()
        return RedirectResponse("/login?out=true" if is_sso else "/login", 303)

    return router


def _takes_passwords(state: State) -> bool:
    return state.sso is None or not state.sso.provider.is_only


async def _note_refusal(state: State, name: str, address: str) -> None:
    known = await state.accounts.named(name)
    spread = None if known else UNKNOWN_NAMES_NOTED_EVERY  # wrong passwords of one account are few: see the throttle
    actor = known.actor if known else NOBODY
    await state.audit.record(actor, Action.SIGN_IN_REFUSED, CONSOLE_ITSELF, _from(address), once_in=spread)


def address_of(request: Request) -> str:
    """Return where a request comes from, as far as it is known."""
    return request.client.host if request.client else ""


def _from(address: str) -> str:
    return f"from {address}" if address else ""


def typed(form: FormData, field: str) -> str:
    """Return a field of a form, "" where it is missing or a file."""
    value = form.get(field, "")
    return "" if isinstance(value, UploadFile) else value
