"""The spans of calls at an engine's process."""

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.wire.messages import HANDSHAKE

_tracer = trace.get_tracer("parley")


class TracedChats:
    """ASGI middleware of an engine's process: a span for each call, part of the gateway's trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with _tracer.start_as_current_span(
            "chat", propagate.extract(headers), SpanKind.SERVER, record_exception=False
        ) as current:

            async def note(message: Message) -> None:
                _note_chat(current, message)
                await send(message)

            await self._app(scope, receive, note)


def _note_chat(current: Span, message: Message) -> None:
    if message["type"] == "websocket.send" and message.get("bytes") == HANDSHAKE:
        current.add_event("ready")
    elif message["type"] == "websocket.http.response.start":
        current.set_attribute("http.response.status_code", message["status"])
    elif message["type"] == "websocket.close":
        current.set_attribute("parley.close_code", message.get("code", 1000))
