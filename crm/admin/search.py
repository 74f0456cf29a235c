"""Finding calls by what somebody was told of them: the caller's number, our id of the call, or the carrier's.

form {sought} ──POST──▶ find ──▶ /calls/ID │ /calls?caller_of=ID │ the list again, with why not

A number travels in the body of a POST only, and the address that it leads to names a call instead: addresses
stand in the logs of proxies, in histories and in what is pasted to others; the calls of one caller can still be
paged, reloaded and downloaded. Numbers are kept whole and shown masked; looking for parts of one would tell, digit
by digit, what the mask hides, so only a whole number is looked for.
"""

import re
import unicodedata
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from crm.call import Call, CallFilter
from crm.store import CallStore
from personas.errors import BadNumber
from personas.numbers import check_number

LONGEST = 256  # as long as a caller's address may be
NOT_WHOLE = (
    "A number is looked for whole, with its country code, e.g. +49 30 1234567 or 0049 30 1234567; "
    "a call also by its id or the carrier's."
)
_NO_ID = "No call has this id."
_NO_CALLER = "No call came from this number or address."
_TRUNK_ZERO = re.compile(r"\(0\)")  # +49 (0)30 …: dialled at home only
_SEPARATORS = re.compile(r"[\s().\-/\u2010-\u2015\u2212]")

Refuse = Callable[[Request, str, str], Awaitable[Response]]


def add_routes(router: APIRouter, path: str, store: CallStore, refuse: Refuse) -> None:
    """Add the search below ``path``; ``refuse(request, sought, why)`` shows the form again."""

    @router.post(path + "/search")
    async def search(request: Request) -> Response:
        given = (await request.form()).get("sought")
        sought = _readable(given) if isinstance(given, str) else ""
        if call := await _first(store, CallFilter(name=sought)):
            return RedirectResponse(f"{path}/{call.id}", 303)
        caller = _caller(sought)
        if call := await _first(store, CallFilter(caller=caller)):
            return RedirectResponse(f"{path}?caller_of={call.id}", 303)
        return await refuse(request, sought, _NO_CALLER if caller else _NO_ID if _is_id(sought) else NOT_WHOLE)


def e164(text: str) -> str:
    """Return a number in E.164 from how people write it: +49 …, 0049 …, with spaces, dashes, slashes, "(0)".

    Raises:
        BadNumber: it has no country code, or is no number.
    """
    plain = _SEPARATORS.sub("", _TRUNK_ZERO.sub("", _readable(text).removeprefix("tel:")))
    return check_number("+" + plain[2:] if plain.startswith("00") else plain)


def _caller(text: str) -> str:
    """Return a number in E.164, or an address of SIP or a client's name as it is; "" where it is neither."""
    try:
        return e164(text)
    except BadNumber:
        return text if "@" in text or ":" in text else ""


def _readable(text: str) -> str:
    """Return text without what can't be seen: numbers that are copied bring marks of direction with them."""
    shown = unicodedata.normalize("NFKC", text)[:LONGEST]
    return "".join(each for each in shown if unicodedata.category(each) not in ("Cf", "Cc")).strip()


def _is_id(text: str) -> bool:
    return text.isascii() and text.isalnum() and not text.isdigit()


async def _first(store: CallStore, where: CallFilter) -> Call | None:
    if not where.name and not where.caller:
        return None
    found = (await store.calls(limit=1, where=where)).calls
    return found[0].call if found else None
