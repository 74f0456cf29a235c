"""The port of a phone network: signed webhooks in, call instructions out. No I/O here but ``hang_up``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from telephony.media import MediaProtocol, StreamStarted


@dataclass(frozen=True, slots=True)
class InboundCall:
    """A ringing call. Numbers are E.164 as the carrier gives them (``from_number`` may be empty: withheld)."""

    carrier: str
    call_id: str
    account_id: str
    from_number: str
    to_number: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The carrier asks what comes next, because the media stream of a call that may still live is over."""

    call_id: str
    account_id: str
    call_status: str


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """Answer the call and stream its audio to our media socket; ``parameters`` come back in StreamStarted."""

    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SayAndHangUp:
    """Answer, speak one sentence in the carrier's own voice, and end the call."""

    text: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""


Instruction = ConnectStream | SayAndHangUp | HangUp


class MediaSocket(Protocol):
    """An accepted media socket whose ``start`` has been read; the route's WebSocket behind it."""

    start: StreamStarted
    protocol: MediaProtocol

    async def receive(self) -> str | bytes | None:
        """Return the next message, None once the other side is gone (closed or dropped)."""
        ...

    async def send(self, message: str) -> None:
        """Send one text message; silently does nothing once the other side is gone."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...


class CallHandler(Protocol):
    """What the product does with calls; handed to ``telephony.routes.telephony_router``."""

    async def answer(self, call: InboundCall) -> Instruction:
        """Decide a ringing call; idempotent by ``call.call_id`` (carriers repeat webhooks)."""
        ...

    async def media(self, socket: MediaSocket) -> None:
        """Run the call on an accepted socket until it ends; must check the call's nonce first."""
        ...

    async def after_stream(self, ended: StreamEnded) -> Instruction:
        """Decide what the caller hears once the stream is over."""
        ...


class Carrier(Protocol):
    """One phone network. Paths are relative to the public origin, e.g. ``/twilio/voice``."""

    name: str
    webhook_path: str
    action_path: str
    media_path: str

    def check_webhook(self, path: str, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Verify that the carrier made this request. ``headers`` has lower-case names.

        Raises:
            telephony.errors.BadSignature: it did not, or that can't be known.
        """
        ...

    def check_socket(self, path: str, headers: Mapping[str, str]) -> None:
        """Verify a media socket's upgrade request, before it is accepted.

        Raises:
            telephony.errors.BadSignature: it is not the carrier's.
        """
        ...

    def inbound_call(self, form: Mapping[str, str]) -> InboundCall:
        """Read a webhook's form.

        Raises:
            telephony.errors.BadWebhook: a field is missing; the message names it.
        """
        ...

    def stream_ended(self, form: Mapping[str, str]) -> StreamEnded:
        """Read the action request's form; raises like ``inbound_call``."""
        ...

    def render(self, instruction: Instruction) -> str:
        """Write an instruction in the carrier's own language (XML)."""
        ...

    def media_protocol(self) -> MediaProtocol:
        """Return a protocol for one new socket."""
        ...

    async def redirect(self, call_id: str) -> bool:
        """Make the carrier end a live call's stream and ask what comes next; False as ``hang_up``.

        Raises:
            telephony.errors.CarrierUnavailable: the API could not be reached or refused.
        """
        ...

    async def hang_up(self, call_id: str) -> bool:
        """End a live call through the carrier's API; False if it was gone already or no credentials are set.

        Raises:
            telephony.errors.CarrierUnavailable: the API could not be reached or refused.
        """
        ...
