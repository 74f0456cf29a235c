"""Finding calls by what somebody was told of them: the caller's number, our id of the call, or the carrier's.

form {sought} ──POST──▶ find ──▶ /calls/ID │ /calls?caller_of=ID │ the list again, with why not

A number travels in the body of a POST only, and the address that it leads to names a call instead: addresses
stand in the logs of proxies, in histories and in what is pasted to others; the calls of one caller can still be
paged, reloaded and downloaded. Numbers are kept whole and shown masked; looking for parts of one would tell, digit
by digit, what the mask hides, so only a whole number is looked for.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from crm.call import Call, CallFilter
from crm.phone_numbers import caller_of, readable
from crm.store import CallStore
from personas.admin.access import ANALYST

NOT_WHOLE = (
    "A number is looked for whole, with its country code, e.g. +49 30 1234567 or 0049 30 1234567; "
    "a call also by its id or the carrier's."
)
_NO_ID = "No call has this id."
_NO_CALLER = "No call came from this number or address."

Refuse = Callable[[Request, str, str], Awaitable[Response]]


def add_routes(router: APIRouter, path: str, store: CallStore, refuse: Refuse) -> None:
    """Add the search below ``path``; ``refuse(request, sought, why)`` shows the form again."""

    @router.post(path + "/search", dependencies=ANALYST)
    async def search(request: Request) -> Response:
        given = (await request.form()).get("sought")
        sought = readable(given) if isinstance(given, str) else ""
        if call := await _first(store, CallFilter(name=sought)):
            return RedirectResponse(f"{path}/{call.id}", 303)
        caller = caller_of(sought)
        if call := await _first(store, CallFilter(caller=caller)):
            return RedirectResponse(f"{path}?caller_of={call.id}", 303)
        return await refuse(request, sought, _NO_CALLER if caller else _NO_ID if _is_id(sought) else NOT_WHOLE)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isalnum() and not text.isdigit()


async def _first(store: CallStore, where: CallFilter) -> Call | None:
    if not where.name and not where.caller:
        return None
    found = (await store.calls(limit=1, where=where)).calls
    return found[0].call if found else None
