"""The spans of a phone call at the gateway.

webhook, media socket, action ─▶ TracedDesk ─▶ a span each
live events ───────────────────▶ LiveSpans ──▶ the media socket's span: what happened, outcome, figures
"""

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from agent.live import CallOver, CallStarted, LiveEvent, Noted
from agent.tracing.spans import request_span
from telephony.carrier import CallHandler, InboundCall, Instruction, MediaSocket, NextAsked

FAULTS = ("engine_lost", "engine_full", "engine_unavailable", "gateway_lost", "stream_failed", "agent_mute")
"""Outcomes that make a span one that failed."""


class TracedDesk:
    """A ``CallHandler`` with a span for each thing that it is asked."""

    def __init__(self, desk: CallHandler) -> None:
        self._desk = desk

    async def answer(self, call: InboundCall) -> Instruction:
        with request_span("answer", call.call_id) as current:
            return _given(current, await self._desk.answer(call))

    async def media(self, socket: MediaSocket) -> None:
        with request_span("media", socket.start.call_id):
            await self._desk.media(socket)

    async def what_next(self, asked: NextAsked) -> Instruction:
        with request_span("what next", asked.about_call or asked.call_id, after=asked.after) as current:
            return _given(current, await self._desk.what_next(asked))


class LiveSpans:
    """Tells the span of a call's media socket what happens in the call."""

    def __init__(self) -> None:
        self._spans: dict[str, Span] = {}

    def note(self, call_id: str, event: LiveEvent) -> None:
        """Note one event; that a call started, in the context of its media socket's span."""
        current = self._spans.get(call_id, trace.INVALID_SPAN)
        match event:
            case CallStarted():
                current = trace.get_current_span()
                if current.is_recording():
                    self._spans[call_id] = current
                    current.set_attributes({"parley.call_id": call_id, "parley.persona": event.persona_slug})
            case Noted():
                current.add_event(event.kind, {"parley.at_ms": event.at_ms})
            case CallOver():
                self._spans.pop(call_id, None)
                if current.is_recording():  # its socket may be gone already
                    figures = {f"parley.{name}": value for name, value in event.figures.items()}
                    current.set_attributes(figures | {"parley.outcome": event.outcome})
                    if event.outcome in FAULTS:
                        current.set_status(Status(StatusCode.ERROR, event.outcome))


def _given(current: Span, instruction: Instruction) -> Instruction:
    current.set_attribute("parley.instruction", type(instruction).__name__)
    return instruction
