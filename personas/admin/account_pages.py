"""The console's page of one's own account: who one is here, a new password, signing out everywhere."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from personas.accounts import AccountError
from personas.admin.access import ANALYST
from personas.admin.rendering import Pages
from personas.admin.section import Section
from personas.admin.session import Refusal, begin_session, password_checked, typed

PATH = "/account"


def section() -> Section:
    """Return the page's section, which is led to by the user's name instead of the navigation."""
    router, pages = APIRouter(), Pages("personas")

    async def page(request: Request, problem: str = "", *, status: int = 200, is_done: bool = False) -> Response:
        return await pages(request, "account.html", status=status, problem=problem, is_done=is_done)

    @router.get(PATH, dependencies=ANALYST)
    async def show(request: Request) -> Response:
        return await page(request)

    @router.post(PATH + "/password", dependencies=ANALYST)
    async def change(request: Request) -> Response:
        form, user, accounts = await request.form(), request.state.user, request.app.state.accounts
        new, again = typed(form, "new"), typed(form, "again")
        if new != again:
            return await page(request, "The two new passwords differ.", status=422)
        checked = await password_checked(request, user.name, typed(form, "current"))
        if isinstance(checked, Refusal):
            text = checked.text if checked.wait_s else "That is not your present password."
            return await page(request, text, status=422)
        try:
            user = await accounts.by(user.actor).set_password(user.name, new)
        except AccountError as error:
            return await page(request, f"{error}.", status=422)
        begin_session(request, user)
        request.state.user = user
        return await page(request, is_done=True)

    @router.post(PATH + "/sign-out", dependencies=ANALYST)
    async def sign_out(request: Request) -> Response:
        user = request.state.user
        await request.app.state.accounts.by(user.actor).sign_out(user.name)
        request.session.clear()
        return RedirectResponse("/login", 303)

    return Section("Your account", PATH, "user-circle", router)
