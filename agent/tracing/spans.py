"""A span for a block of code, in the trace of the phone call that it is done for."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

_tracer = trace.get_tracer("parley")
_phone_call: ContextVar[str] = ContextVar("phone_call", default="")


@contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, **attributes: str | int) -> Iterator[Span]:
    """Time the block; of an error only its kind is told, since what it says may hold words or numbers of the caller."""
    told = {f"parley.{key}": value for key, value in attributes.items()}
    with _tracer.start_as_current_span(
        name, kind=kind, attributes=told, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def pass_on() -> dict[str, str]:
    """Return the headers that make the other side's spans part of this trace, where there is one."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


@contextmanager
def request_span(name: str, carrier_call_id: str, **attributes: str | int) -> Iterator[Span]:
    """Time the block, which answers one of a carrier's requests, in the trace of the phone call."""
    token = _phone_call.set(carrier_call_id)
    try:
        with span(name, SpanKind.SERVER, carrier_call_id=carrier_call_id, **attributes) as current:
            yield current
    finally:
        _phone_call.reset(token)


def trace_of_call() -> int | None:
    """Return the id of the trace, 128 bits, that what is being done for a phone call belongs to; None outside of one.

    It is made of the carrier's id of the call, which each of its requests brings, so that processes agree on it.
    """
    name = _phone_call.get()
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:16]) if name else None
