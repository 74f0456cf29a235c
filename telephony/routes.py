"""The carrier's way in: webhooks and the media socket, checked before anything of ours is touched.

POST webhook ─▶ signature ─▶ CallHandler.answer ─▶ instruction
WS media ─▶ signature (403 before the upgrade) ─▶ start ─▶ CallHandler.media
POST action ─▶ signature ─▶ CallHandler.what_next ─▶ instruction
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, HTTPException, Request, Response, WebSocket
from starlette.datastructures import ImmutableMultiDict

from telephony.audio.ringing import ringing_wav
from telephony.carrier import CallHandler, Carrier, Instruction, SayAndHangUp
from telephony.errors import BadSignature, BadStream, BadWebhook
from telephony.limits import LineLimits, MessageLimit, RateLimit
from telephony.socket import POLICY_VIOLATION, RouteSocket, close, open_socket

log = structlog.get_logger(__name__)

MAX_FORM_BYTES = 64 * 1024
APOLOGY = "We are sorry, your call cannot be taken at the moment. Please call again in a few minutes."
_MAX_FORM_FIELDS = 200
_HANDLER_TIMEOUT_S = 10.0  # Twilio gives a webhook up after 15 s, and the caller hears its own error message
_REFUSALS_LOGGED_PER_MINUTE = 60
_INTERNAL_ERROR = 1011

Form = ImmutableMultiDict[str, str]


def telephony_router(
    carrier: Carrier, handler: CallHandler, *, start_timeout_s: float, limits: LineLimits | None = None
) -> APIRouter:
    """Return the routes of one carrier; ``start_timeout_s`` is how long a socket may take to say which call it is."""
    router = APIRouter(include_in_schema=False)
    line = _Line(carrier, handler, start_timeout_s, limits or LineLimits())

    @router.post(carrier.webhook_path)
    async def webhook(request: Request) -> Response:
        return await line.instruct(request, carrier.webhook_path, line.answer)

    @router.get(carrier.hold_sound_path)
    async def hold_sound() -> Response:
        return Response(ringing_wav(), media_type="audio/wav", headers={"Cache-Control": "public, max-age=86400"})

    @router.post(carrier.action_path)
    async def action(request: Request) -> Response:
        return await line.instruct(
            request, carrier.action_path, lambda form: line.what_next(form, request.query_params)
        )

    @router.websocket(carrier.media_path)
    async def media(websocket: WebSocket) -> None:
        await line.media(websocket)

    return router


class _Line:
    """What the three routes of one carrier share."""

    def __init__(self, carrier: Carrier, handler: CallHandler, start_timeout_s: float, limits: LineLimits) -> None:
        self._carrier = carrier
        self._handler = handler
        self._start_timeout_s = start_timeout_s
        self._messages_per_s = limits.messages_per_s
        self._calls = RateLimit(limits.calls_per_minute)
        self._requests = RateLimit(limits.requests_per_minute)
        self._streams = RateLimit(limits.streams_per_minute)
        self._logged_refusals = RateLimit(_REFUSALS_LOGGED_PER_MINUTE)

    async def answer(self, form: Form) -> Instruction:
        call = self._carrier.inbound_call(form)
        self._limit_requests(call.call_id)
        if not self._calls.allows(call.from_number):
            log.warning("too many calls from one number", call_id=call.call_id)
            return SayAndHangUp(APOLOGY)
        return await self._handler.answer(call)

    async def what_next(self, form: Form, query: Mapping[str, str]) -> Instruction:
        asked = self._carrier.next_asked(form, query)
        self._limit_requests(asked.call_id)
        return await self._handler.what_next(asked)

    async def instruct(self, request: Request, path: str, decide: Callable[[Form], Awaitable[Instruction]]) -> Response:
        """Answer a webhook: check who asks, let ``decide``, and never leave the caller without an instruction."""
        form = await _read_form(request)
        try:
            self._carrier.check_webhook(_signed_path(path, request), form, request.headers)
        except BadSignature as error:
            self._log_refusal("webhook refused", error)
            raise HTTPException(403, str(error)) from None
        try:
            async with asyncio.timeout(_HANDLER_TIMEOUT_S):
                instruction = await decide(form)
        except BadWebhook as error:
            log.warning("webhook unusable", reason=str(error))
            raise HTTPException(400, str(error)) from None
        except HTTPException:
            raise
        except Exception as error:  # whatever went wrong, somebody is on the phone
            _log_failure("webhook failed", error)
            instruction = SayAndHangUp(APOLOGY)
        return Response(self._carrier.render(instruction), media_type="application/xml")

    async def media(self, websocket: WebSocket) -> None:
        """Refuse a socket before its upgrade, or carry its call to the end."""
        try:
            self._carrier.check_socket(_signed_path(self._carrier.media_path, websocket), websocket.headers)
        except BadSignature as error:
            self._log_refusal("media socket refused", error)
            await websocket.send_denial_response(Response(str(error), status_code=403, media_type="text/plain"))
            return
        await websocket.accept()
        limit = MessageLimit(self._messages_per_s)
        try:
            socket = await open_socket(websocket, self._carrier.media_protocol(), limit, self._start_timeout_s)
            if not self._streams.allows(socket.start.call_id):
                raise BadStream("The call opened too many media sockets.")
        except BadStream as error:
            log.warning("media socket unusable", reason=str(error))
            await close(websocket, POLICY_VIOLATION, str(error))
            return
        await self._carry(socket)

    async def _carry(self, socket: RouteSocket) -> None:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(socket.read())
            try:
                await self._handler.media(socket)
            except BadStream as error:
                log.warning("media stream refused", reason=str(error))
                await socket.close(POLICY_VIOLATION, str(error))
            except Exception as error:
                _log_failure("call failed", error)
                await socket.close(_INTERNAL_ERROR, "The call failed.")
            finally:
                reader.cancel()
        if socket.lost_messages:
            log.warning("call was too slow for its socket", lost_messages=socket.lost_messages)
        await socket.close()

    def _limit_requests(self, call_id: str) -> None:
        if not self._requests.allows(call_id):
            log.warning("too many webhooks of one call", call_id=call_id)
            raise HTTPException(429, "Too many requests about one call.", {"Retry-After": "60"})

    def _log_refusal(self, message: str, error: BadSignature) -> None:
        if self._logged_refusals.allows(str(error)):  # whoever floods us with forgeries shall not flood the log
            log.warning(message, reason=str(error))


async def _read_form(request: Request) -> Form:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, f"The form is longer than {MAX_FORM_BYTES // 1024} KiB.")
    try:
        text = body.decode("ascii")
        return ImmutableMultiDict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS))
    except ValueError:
        raise HTTPException(400, "The body is not a URL-encoded form of reasonable size.") from None


def _signed_path(path: str, connection: Request | WebSocket) -> str:
    query = connection.url.query
    return f"{path}?{query}" if query else path


def _log_failure(message: str, error: Exception) -> None:
    """Log where it failed, but not what the error says: that may hold numbers or words of the caller."""
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error(message, error=type(error).__name__, traceback=where)
