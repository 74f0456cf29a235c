"""What the console does about keeping calls: hold and release, erase a call or a caller, hand a caller's copy out.

A page says what would go before anything does. Addresses name a call, never a number, as in ``search``.
"""

from datetime import datetime

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.responses import Response

from crm.admin.words import masked
from crm.call import Call
from crm.disclosure import Disclosure
from crm.erasure import Erasures, Plan, Whose
from crm.errors import CannotErase, CannotHold, UnknownCall
from crm.holds import Holds
from crm.store import CallStore
from personas.admin.access import ADMIN, EDITOR
from personas.admin.rendering import Pages


def add_routes(router: APIRouter, pages: Pages, path: str, store: CallStore, erasures: Erasures) -> None:
    """Add the pages and buttons below ``path``, that of the calls."""
    _holding(router, path, store)
    _erasing(router, pages, path, store, erasures)
    disclosure = Disclosure(store, erasures.recordings)

    @router.get(path + "/{call_id}/caller.zip", dependencies=ADMIN)
    async def copy(request: Request, call_id: str) -> Response:
        call = await _known(store, call_id)
        try:
            archive = await disclosure.of_caller(call.from_number, request.state.user.actor)
        except UnknownCall:
            raise HTTPException(404, _NOBODY) from None
        name = f"caller-{datetime.now(request.app.state.time_zone):%Y%m%d-%H%M%S}.zip"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return StreamingResponse(archive, media_type="application/zip", headers=headers)


def _holding(router: APIRouter, path: str, store: CallStore) -> None:
    def holds(request: Request) -> Holds:
        return Holds(store.database, request.state.user.actor)

    @router.post(path + "/{call_id}/hold", dependencies=EDITOR)
    async def hold(request: Request, call_id: str) -> Response:
        reason = (await request.form()).get("reason")
        try:
            await holds(request).hold(call_id, reason if isinstance(reason, str) else "")
        except UnknownCall as error:
            raise HTTPException(404, str(error)) from None
        except CannotHold as error:
            raise HTTPException(409, str(error)) from None
        return RedirectResponse(f"{path}/{call_id}", 303)

    @router.post(path + "/{call_id}/release", dependencies=EDITOR)
    async def release(request: Request, call_id: str) -> Response:
        try:
            await holds(request).release(call_id)
        except UnknownCall as error:
            raise HTTPException(404, str(error)) from None
        return RedirectResponse(f"{path}/{call_id}", 303)


def _erasing(router: APIRouter, pages: Pages, path: str, store: CallStore, erasures: Erasures) -> None:
    async def plan(whose: Whose) -> Plan | None:
        try:
            return await erasures.plan(whose)
        except UnknownCall:
            return None

    @router.get(path + "/{call_id}/erase", dependencies=ADMIN)
    async def confirm(request: Request, call_id: str) -> Response:
        call = await _known(store, call_id)
        of_caller = await plan(Whose(number=call.from_number)) if call.from_number else None
        values = {"call": call, "number": masked(call.from_number), "of_call": await plan(Whose(call_id))}
        return await pages(request, "erase.html", active=path, of_caller=of_caller, **values)

    @router.post(path + "/{call_id}/erase", dependencies=ADMIN)
    async def erase(request: Request, call_id: str) -> Response:
        call = await _known(store, call_id)
        is_caller = (await request.form()).get("what") == "caller"
        if is_caller and not call.from_number:
            raise HTTPException(409, _NOBODY)
        whose = Whose(number=call.from_number) if is_caller else Whose(call_id)
        try:
            await erasures.by(request.state.user.actor).erase(whose)
        except CannotErase as error:
            raise HTTPException(409, str(error)) from None
        except UnknownCall:  # somebody else was first
            pass
        return RedirectResponse(f"{path}/{call_id}", 303)


_NOBODY = "The caller of this call withheld their number, or it is erased: their other calls can't be told."


async def _known(store: CallStore, call_id: str) -> Call:
    try:
        return await store.call(call_id)
    except UnknownCall as error:
        raise HTTPException(404, str(error)) from None
