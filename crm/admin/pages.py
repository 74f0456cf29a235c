"""The console's pages about calls: the list, also as a file, one call, its recording."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.responses import Response

from crm.admin import keeping, live, search
from crm.admin.conversation import grouped, shown_turns
from crm.admin.filters import KINDS, ChosenCalls, as_csv, chosen_calls
from crm.admin.live import LiveView, TypedHandoff
from crm.admin.words import OUTCOMES, STATUSES, delay_parts, event_words, figures, in_words, masked, onsets
from crm.call import Call, CallPage
from crm.customers import Customers
from crm.erasure import Erasures, RemoveMessage
from crm.errors import BadCursor, RecordingUnavailable, UnknownCall
from crm.phone_numbers import is_e164
from crm.recordings import Recordings
from crm.store import CallStore
from personas.admin.access import ANALYST
from personas.admin.rendering import Pages
from personas.admin.section import Section
from personas.audit import Action, AuditLog, Subject
from personas.store import PersonaStore

PATH = "/calls"
PAGE_LENGTH = 30
NOTED_EVERY = timedelta(hours=1)  # who looks at one call again and again, or plays it piece by piece, is noted once
Chosen = Annotated[ChosenCalls, Depends(chosen_calls)]


def section(
    store: CallStore,
    personas: PersonaStore,
    recordings: Recordings,
    view: LiveView | None = None,
    customers: Customers | None = None,
    remove_message: RemoveMessage | None = None,
) -> Section:
    """Return the section "Calls" for ``personas.admin.console.mount``; without ``view`` live calls only say so.

    With ``customers`` a call's page leads to that of its caller. ``remove_message`` is as in ``crm.erasure.Erasures``.
    """
    router, pages = APIRouter(), Pages("crm")
    log = AuditLog(store.database)
    _list_page(router, pages, store, personas, log)
    _call_page(router, pages, store, personas, recordings, view, log, customers)
    _recording(router, store, recordings, log)
    keeping.add_routes(router, pages, PATH, store, Erasures(store.database, recordings, remove_message))
    return Section("Calls", PATH, "phone", router)


def _list_page(router: APIRouter, pages: Pages, store: CallStore, personas: PersonaStore, log: AuditLog) -> None:
    @router.get(PATH, dependencies=ANALYST)
    async def listed(request: Request, chosen: Chosen, cursor: str = "") -> Response:
        try:
            page = await store.calls(limit=PAGE_LENGTH, cursor=cursor, where=chosen.where())
        except BadCursor as error:
            raise HTTPException(400, str(error)) from None
        return await pages(request, "calls.html", is_first=not cursor, **await _list(request, chosen, page))

    async def not_found(request: Request, sought: str, why: str) -> Response:
        values = await _list(request, ChosenCalls(), await store.calls(limit=PAGE_LENGTH))
        return await pages(request, "calls.html", status=422, is_first=True, **values | {"sought": sought, "why": why})

    async def _list(request: Request, chosen: ChosenCalls, page: CallPage) -> dict[str, Any]:
        query = chosen.query()
        caller = (await _known(store, chosen.caller_of)).from_number if chosen.caller_of else ""
        return {
            "active": PATH,
            "page": page,
            "more": f"{PATH}?{urlencode(query | {'cursor': page.next_cursor})}" if page.next_cursor else "",
            "newest": f"{PATH}?{urlencode(query)}",
            "file": f"{PATH}.csv?{urlencode(query)}",
            "here": f"{PATH}?{request.url.query}",
            "is_filtered": chosen.is_any,
            "is_any_live": any(row.call.status in ("waiting", "ringing", "live") for row in page.calls),
            "chosen": chosen,
            "caller": caller,
            "of_all_callers": f"{PATH}?{urlencode(replace(chosen, caller_of='').query())}",
            "sought": "",
            "why": "",
            "personas": await personas.titles(),
            "versions": await personas.version_numbers({row.call.persona_version_id for row in page.calls}),
            "statuses": STATUSES,
            "status_titles": {name: shown.title for name, shown in STATUSES.items()},
            "outcomes": OUTCOMES,
            "kinds": KINDS,
            "masked": masked,
            "in_words": in_words,
        }

    search.add_routes(router, PATH, store, not_found)

    @router.get(f"{PATH}.csv", dependencies=ANALYST)
    async def file(request: Request, chosen: Chosen) -> Response:
        chosen.where()  # what can't be read is told before the file begins
        about = ", ".join(f"{name} {value}" for name, value in chosen.query().items())
        await log.record(request.state.user.actor, Action.LIST_DOWNLOADED, Subject("calls", ""), about)
        name = f"calls-{datetime.now(chosen.zone):%Y%m%d-%H%M%S}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(as_csv(store, personas, chosen), media_type="text/csv", headers=headers)


def _call_page(
    router: APIRouter,
    pages: Pages,
    store: CallStore,
    personas: PersonaStore,
    recordings: Recordings,
    view: LiveView | None,
    log: AuditLog,
    customers: Customers | None,
) -> None:
    @router.get(PATH + "/{call_id}", dependencies=ANALYST)
    async def one(request: Request, call_id: str) -> Response:
        return await show(request, call_id, TypedHandoff())

    async def show(request: Request, call_id: str, typed: TypedHandoff) -> Response:
        call = await _known(store, call_id)
        await log.record(request.state.user.actor, Action.CALL_OPENED, live.audited(call), once_in=NOTED_EVERY)
        turns, scores = await store.turns(call_id), await store.scores(call_id)
        dynamics = await store.dynamics(call_id)
        verdicts = scores[0].card.verdicts if scores else ()
        return await pages(
            request,
            "call.html",
            status=422 if typed.problem else 200,
            active=PATH,
            typed=typed,
            call=call,
            recording_trouble=await _recording_trouble(recordings, call),
            version=(await personas.version_numbers({call.persona_version_id})).get(call.persona_version_id),
            turns=shown_turns(turns, verdicts),
            score=scores[0] if scores else None,
            failed_critical=sum(each.result == "fail" and each.severity == "critical" for each in verdicts),
            groups=grouped(verdicts),
            events=await store.events(call_id),
            onsets=onsets(dynamics),
            parts=delay_parts(call.timing),
            figures=figures(dynamics, call.timing),
            state=STATUSES[call.status],
            masked=masked,
            outcome=in_words(call),
            event_words=event_words,
            parts_of_call=[
                each for each in await store.parts(call.carrier, call.carrier_call_id) if each.id != call_id
            ],
            **await _customer_values(customers, call),
            **await _live_values(personas, call, view),
        )

    if view:
        live.add_routes(router, PATH, store, view, show)

    @router.get(PATH + "/{call_id}/status", dependencies=ANALYST)
    async def status(call_id: str, seen: str = "") -> Response:
        """Tell a page that shows a call in progress to load itself again, once the call has gone on."""
        has_changed = (await _known(store, call_id)).status != seen
        return Response(status_code=204, headers={"HX-Refresh": "true"} if has_changed else None)


async def _customer_values(customers: Customers | None, call: Call) -> dict[str, Any]:
    """Return who the caller is by now, and whether they could be made a customer."""
    if customers is None or call.is_test or not is_e164(call.from_number):
        return {"customer_now": None, "can_add": False}
    now = await customers.by_number(call.from_number)
    return {"customer_now": now, "can_add": now is None}


async def _live_values(personas: PersonaStore, call: Call, view: LiveView | None) -> dict[str, Any]:
    """Return what ``call_live.html`` shows of a call in progress."""
    if view is None or call.status != "live":
        return {"is_live_shown": False}
    number = await personas.number_settings(call.to_number)
    return {
        "is_live_shown": True,
        "live_ms": await view.media_ms(call),
        "can_reach": view.can_reach,
        "human_number": number.human_number if number else "",
        "modes": live.MODES,
    }


def _recording(router: APIRouter, store: CallStore, recordings: Recordings, log: AuditLog) -> None:
    @router.get(PATH + "/{call_id}/recording", dependencies=ANALYST)
    async def recording(request: Request, call_id: str, download: bool = False) -> Response:
        call = await _known(store, call_id)
        try:
            path = await asyncio.to_thread(recordings.file, call.recording)
        except RecordingUnavailable as error:
            raise HTTPException(404, str(error)) from None
        action = Action.RECORDING_DOWNLOADED if download else Action.RECORDING_PLAYED
        await log.record(request.state.user.actor, action, live.audited(call), once_in=NOTED_EVERY)
        began = call.created_at.astimezone(request.app.state.time_zone)
        name = f"call-{began:%Y%m%d-%H%M%S}-{call.id[:8]}.wav"
        kind: Literal["attachment", "inline"] = "attachment" if download else "inline"
        return FileResponse(path, media_type="audio/wav", filename=name, content_disposition_type=kind)

    @router.get(PATH + "/{call_id}/peaks", dependencies=ANALYST)
    async def peaks(call_id: str) -> Response:
        call = await _known(store, call_id)
        try:
            return JSONResponse(await asyncio.to_thread(recordings.peaks, call.recording))
        except RecordingUnavailable as error:
            raise HTTPException(404, str(error)) from None


async def _known(store: CallStore, call_id: str) -> Call:
    try:
        return await store.call(call_id)
    except UnknownCall as error:
        raise HTTPException(404, str(error)) from None


async def _recording_trouble(recordings: Recordings, call: Call) -> str:
    """Return why a recording that was made can't be heard; empty if it can, or if none was made."""
    if call.recording:
        try:
            await asyncio.to_thread(recordings.file, call.recording)
        except RecordingUnavailable as error:
            return str(error)
    return ""
