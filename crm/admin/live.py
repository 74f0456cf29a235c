"""A call in progress on its page: what is said as it is said, and an operator's hand on it.

browser ──GET live──▶ LiveView.lines ─▶ server-sent events      form ──POST hang-up | hand-off──▶ LiveView
"""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal, Protocol, cast, get_args

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.responses import Response

from crm.call import Call, Handoff, HandoffMode
from crm.errors import UnknownCall
from crm.store import CallStore
from personas.admin.access import ANALYST, EDITOR
from personas.audit import Action, Actor, AuditLog, Subject
from personas.errors import BadNumber
from personas.numbers import check_number

MODES: dict[HandoffMode, str] = {
    "cold": "at once",
    "warm": "after telling the human what it is about",
    "queue": "through the waiting line",
}


class LiveRefused(Exception):
    """What an operator asked for can't be done; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class LiveLine:
    """Something said or noted in a call, ``at_ms`` of media time. The agent's text brings its own leading spaces."""

    side: Literal["caller", "agent", "event"]
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class TypedHandoff:
    """What an operator typed to hand a call over, and why that was refused, "" if it was not."""

    to: str = ""
    mode: str = "cold"
    problem: str = ""


Refuse = Callable[[Request, str, TypedHandoff], Awaitable[Response]]


class LiveView(Protocol):
    """What the console may see of calls in progress and do to them; handed in by the composition root."""

    @property
    def can_reach(self) -> bool:
        """Whether calls that other processes carry can be ended from here."""
        ...

    async def media_ms(self, call: Call) -> int | None:
        """Return how long a call has been going; None where what is said in it is out of reach."""
        ...

    def lines(self, call: Call) -> AsyncIterator[LiveLine]:
        """Yield what was said and noted so far, then what follows, until the call is over."""
        ...

    async def hang_up(self, call: Call, user: str) -> None:
        """End a call for ``user``.

        Raises:
            LiveRefused: it can't be done from here.
        """
        ...

    async def hand_off(self, call: Call, handoff: Handoff, user: str) -> None:
        """Give a call to a human for ``user``; raises like ``hang_up``."""
        ...


def add_routes(router: APIRouter, path: str, store: CallStore, view: LiveView, refuse: Refuse) -> None:
    """Add a live call's stream and its two buttons below ``path``; ``refuse`` shows the call's page again."""

    @router.get(path + "/{call_id}/live", dependencies=ANALYST)
    async def live(call_id: str) -> Response:
        with contextlib.suppress(UnknownCall):
            call = await store.call(call_id)
            if await view.media_ms(call) is not None:
                return StreamingResponse(_events(view, call), media_type="text/event-stream")
        return Response(status_code=204)  # which tells the browser to ask no more

    log = AuditLog(store.database)

    @router.post(path + "/{call_id}/hang-up", dependencies=EDITOR)
    async def hang_up(request: Request, call_id: str) -> Response:
        call, user = await _live_call(store, call_id), request.state.user
        try:
            async with _told(log, user.actor, Action.CALL_HUNG_UP, call):
                await view.hang_up(call, user.name)
        except LiveRefused as error:
            raise HTTPException(409, str(error)) from None
        return RedirectResponse(f"{path}/{call_id}", 303)

    @router.post(path + "/{call_id}/hand-off", dependencies=EDITOR)
    async def hand_off(request: Request, call_id: str) -> Response:
        call, user = await _live_call(store, call_id), request.state.user
        form = await request.form()
        typed = TypedHandoff(str(form.get("to", "")).strip(), str(form.get("mode", "cold")))
        try:
            handoff = _handoff(typed)
            async with _told(log, user.actor, Action.CALL_HANDED_OVER, call, handoff.mode):
                await view.hand_off(call, handoff, user.name)
        except (LiveRefused, BadNumber) as error:
            return await refuse(request, call_id, replace(typed, problem=str(error)))
        return RedirectResponse(f"{path}/{call_id}", 303)


@contextlib.asynccontextmanager
async def _told(log: AuditLog, actor: Actor, action: Action, call: Call, how: str = "") -> AsyncIterator[None]:
    """Write down what was done, or why it was refused."""
    try:
        yield
    except LiveRefused as error:
        await log.record(actor, action, audited(call), f"Not done: {error}")
        raise
    await log.record(actor, action, audited(call), how)


def audited(call: Call) -> Subject:
    """Return a call as the audit log names it: without the caller."""
    return Subject("call", call.id, call.persona_title)


async def _events(view: LiveView, call: Call) -> AsyncIterator[str]:
    yield "retry: 2000\nevent: beginning\ndata: \n\n"
    async for line in view.lines(call):
        yield f"data: {json.dumps(asdict(line))}\n\n"
    yield "event: over\ndata: \n\n"


async def _live_call(store: CallStore, call_id: str) -> Call:
    try:
        call = await store.call(call_id)
    except UnknownCall as error:
        raise HTTPException(404, str(error)) from None
    if call.status != "live":
        over = call.status in ("ended", "refused", "lost")
        text = "The call is over already." if over else "The call has not been connected yet; try again in a moment."
        raise HTTPException(409, text)
    return call


def _handoff(typed: TypedHandoff) -> Handoff:
    """Return what was typed; raises BadNumber."""
    if typed.mode not in get_args(HandoffMode):
        raise HTTPException(400, f"A call is handed over {' or '.join(get_args(HandoffMode))}.")
    return Handoff(cast(HandoffMode, typed.mode), check_number(typed.to) if typed.to else "", "operator")
