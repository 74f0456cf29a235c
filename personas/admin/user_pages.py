"""The console's page of users: who may do what, and changing that."""

import secrets
from collections.abc import Awaitable

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData
from starlette.responses import Response

from personas.accounts import AccountError, Accounts
from personas.admin.access import ADMIN
from personas.admin.rendering import Pages
from personas.admin.section import Section
from personas.admin.session import typed
from personas.roles import MEANINGS, Role

PATH = "/users"
MOST_USERS = 200  # single sign-on may bring thousands: others are found by a part of their name


def section() -> Section:
    """Return the section "Users"."""
    router, pages = APIRouter(), Pages("personas")
    _listing(router, pages)
    _changing(router, pages)
    return Section("Users", PATH, "user-cog", router)


def _listing(router: APIRouter, pages: Pages) -> None:
    @router.get(PATH, dependencies=ADMIN)
    async def listed(request: Request, edit: str = "", part: str = "") -> Response:
        if edit and await request.app.state.accounts.named(edit) is None:
            raise HTTPException(404, "There is no user of this name.")
        return await _page(pages, request, edit, part=part.strip())

    @router.post(PATH, dependencies=ADMIN)
    async def add(request: Request) -> Response:
        form = await request.form()
        name, password = typed(form, "name"), typed(form, "password")
        made_up = "" if password else secrets.token_urlsafe(12)
        try:
            user = await _accounts(request).add(name, password or made_up, _role(form))
        except AccountError as error:
            return await _page(pages, request, problem=str(error), name=name, role=typed(form, "role"), status=422)
        return await _page(pages, request, told=(user.name, made_up))


def _changing(router: APIRouter, pages: Pages) -> None:
    async def changed(request: Request, change: Awaitable[object], name: str) -> Response:
        try:
            await change
        except AccountError as error:
            return await _page(pages, request, name, problem=str(error), status=409)
        return RedirectResponse(PATH, 303)

    @router.post(PATH + "/role", dependencies=ADMIN)
    async def role(request: Request) -> Response:
        form = await request.form()
        name = typed(form, "name")
        return await changed(request, _accounts(request).set_role(name, _role(form)), name)

    @router.post(PATH + "/password", dependencies=ADMIN)
    async def password(request: Request) -> Response:
        form = await request.form()
        name, given = typed(form, "name").strip().lower(), typed(form, "password")
        if name == request.state.user.name:  # who has only borrowed this browser does not know the present one
            raise HTTPException(409, "Your own password is changed on your account's page.")
        made_up = "" if given else secrets.token_urlsafe(12)
        try:
            await _accounts(request).set_password(name, given or made_up)
        except AccountError as error:
            return await _page(pages, request, name, problem=str(error), status=409)
        return await _page(pages, request, told=(name, made_up))

    @router.post(PATH + "/sign-out", dependencies=ADMIN)
    async def sign_out(request: Request) -> Response:
        name = typed(await request.form(), "name")
        return await changed(request, _accounts(request).sign_out(name), name)

    @router.post(PATH + "/remove", dependencies=ADMIN)
    async def remove(request: Request) -> Response:
        name = typed(await request.form(), "name")
        return await changed(request, _accounts(request).remove(name), name)


async def _page(
    pages: Pages,
    request: Request,
    edit: str = "",
    *,
    part: str = "",
    problem: str = "",
    name: str = "",
    role: str = Role.ANALYST,
    told: tuple[str, str] | None = None,
    status: int = 200,
) -> Response:
    """Show the list, below it the user ``edit`` or a form for a new one; ``told`` is a name and a made-up password."""
    accounts: Accounts = request.app.state.accounts
    users = await accounts.users(part, MOST_USERS + 1)
    values = {
        "users": users[:MOST_USERS],
        "is_cut": len(users) > MOST_USERS,
        "part": part,
        "edited": await accounts.named(edit) if edit else None,
        "problem": problem,
        "name": name,
        "role": role,
        "told": told,
        "meanings": {role.value: meaning for role, meaning in MEANINGS.items()},
    }
    return await pages(request, "users.html", status=status, active=PATH, **values)


def _accounts(request: Request) -> Accounts:
    return request.app.state.accounts.by(request.state.user.actor)


def _role(form: FormData) -> Role:
    try:
        return Role(typed(form, "role"))
    except ValueError:
        raise HTTPException(400, f"A role is {', '.join(Role)}. Go back and choose one.") from None
