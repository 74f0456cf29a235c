"""The carrier's way in: two webhooks and the media socket, checked before anything of ours is touched.

POST webhook ─▶ signature ─▶ CallHandler.answer ─▶ instruction
WS media ─▶ signature (403 before the upgrade) ─▶ start ─▶ CallHandler.media
POST action ─▶ signature ─▶ CallHandler.after_stream ─▶ instruction
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, HTTPException, Request, Response, WebSocket
from starlette.datastructures import ImmutableMultiDict

from telephony.carrier import CallHandler, Carrier, Instruction, SayAndHangUp
from telephony.errors import BadSignature, BadStream, BadWebhook
from telephony.socket import close, open_socket

log = structlog.get_logger(__name__)

MAX_FORM_BYTES = 64 * 1024
APOLOGY = "We are sorry, your call cannot be taken at the moment. Please call again in a few minutes."
_MAX_FORM_FIELDS = 200
_HANDLER_TIMEOUT_S = 10.0  # Twilio gives a webhook up after 15 s, and the caller hears its own error message
_POLICY_VIOLATION, _INTERNAL_ERROR = 1008, 1011

Form = ImmutableMultiDict[str, str]


def telephony_router(carrier: Carrier, handler: CallHandler, *, start_timeout_s: float) -> APIRouter:
    """Return the routes of one carrier; ``start_timeout_s`` is how long a socket may take to say which call it is."""
    router = APIRouter(include_in_schema=False)

    async def answer(form: Form) -> Instruction:
        return await handler.answer(carrier.inbound_call(form))

    async def after_stream(form: Form) -> Instruction:
        return await handler.after_stream(carrier.stream_ended(form))

    @router.post(carrier.webhook_path)
    async def webhook(request: Request) -> Response:
        return await _instruct(carrier, request, carrier.webhook_path, answer)

    @router.post(carrier.action_path)
    async def action(request: Request) -> Response:
        return await _instruct(carrier, request, carrier.action_path, after_stream)

    @router.websocket(carrier.media_path)
    async def media(websocket: WebSocket) -> None:
        try:
            carrier.check_socket(_signed_path(carrier.media_path, websocket), websocket.headers)
        except BadSignature as error:
            log.warning("media socket refused", reason=str(error))
            await websocket.send_denial_response(Response(str(error), status_code=403, media_type="text/plain"))
            return
        await websocket.accept()
        await _carry(carrier, handler, websocket, start_timeout_s)

    return router


async def _instruct(
    carrier: Carrier, request: Request, path: str, decide: Callable[[Form], Awaitable[Instruction]]
) -> Response:
    form = await _read_form(request)
    try:
        carrier.check_webhook(_signed_path(path, request), form, request.headers)
    except BadSignature as error:
        log.warning("webhook refused", reason=str(error))
        raise HTTPException(403, str(error)) from None
    try:
        async with asyncio.timeout(_HANDLER_TIMEOUT_S):
            instruction = await decide(form)
    except BadWebhook as error:
        log.warning("webhook unusable", reason=str(error))
        raise HTTPException(400, str(error)) from None
    except Exception as error:  # whatever went wrong, somebody is on the phone
        _log_failure("webhook failed", error)
        instruction = SayAndHangUp(APOLOGY)
    return Response(carrier.render(instruction), media_type="application/xml")


async def _carry(carrier: Carrier, handler: CallHandler, websocket: WebSocket, start_timeout_s: float) -> None:
    try:
        socket = await open_socket(websocket, carrier.media_protocol(), start_timeout_s)
    except BadStream as error:
        log.warning("media socket unusable", reason=str(error))
        await close(websocket, _POLICY_VIOLATION, str(error))
        return
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(socket.read())
        try:
            await handler.media(socket)
        except BadStream as error:
            log.warning("media stream refused", reason=str(error))
            await socket.close(_POLICY_VIOLATION, str(error))
        except Exception as error:
            _log_failure("call failed", error)
            await socket.close(_INTERNAL_ERROR, "The call failed.")
        finally:
            reader.cancel()
    if socket.lost_messages:
        log.warning("call was too slow for its socket", lost_messages=socket.lost_messages)
    await socket.close()


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
