"""The port of a phone network: signed webhooks in, call instructions out. No I/O here but of its API, at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from telephony.media import MediaProtocol, StreamStarted


@dataclass(frozen=True, slots=True)
class InboundCall:
    """A ringing call. Numbers are E.164 as the carrier gives them (``from_number`` may be empty: withheld)."""

    carrier: str
    call_id: str
    account_id: str
    from_number: str
    to_number: str


After = Literal["stream", "dial", "queue", "wait", "record", "recorded", "brief", "accept", "leg", "status"]
"""What an action request follows: the media stream; a human dialled, alone or in a room; a queue; a wait; a caller's
message, and its being ready to be heard; a human's own call being answered, taken, and over; the caller's call over."""
Result = Literal["", "answered", "busy", "no-answer", "failed", "canceled"]


@dataclass(frozen=True, slots=True)
class NextAsked:
    """The carrier asks what comes next in a call that may still live.

    ``part`` is of the instruction that it followed, 0 if that is not known. ``result`` says how calling a human, or
    the queue, went. ``about_call`` is the caller's call where ``call_id`` is the human's own. ``again`` counts how
    often AskAgain was the answer.
    """

    call_id: str
    account_id: str
    call_status: str
    after: After = "stream"
    part: int = 0
    result: Result = ""
    recording_url: str = ""
    about_call: str = ""
    again: int = 0


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """Answer the call and stream its audio to our media socket; ``parameters`` come back in StreamStarted.

    Here and below ``say`` is a sentence in the carrier's own voice before it, and ``part`` comes back in NextAsked.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    part: int = 1
    say: str = ""


@dataclass(frozen=True, slots=True)
class SayAndHangUp:
    """Answer, speak one sentence in the carrier's own voice, and end the call."""

    text: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""


@dataclass(frozen=True, slots=True)
class DialHuman:
    """Call ``to`` (E.164), who sees ``caller_id``, let the caller hear it ring, and join both."""

    to: str
    caller_id: str
    part: int = 1
    say: str = ""
    timeout_s: int = 25


@dataclass(frozen=True, slots=True)
class JoinRoom:
    """Put the caller into a room, with music until a human (``is_human``) comes in; it is over when either leaves."""

    room: str
    part: int = 1
    is_human: bool = False


@dataclass(frozen=True, slots=True)
class BriefHuman:
    """Tell a human about a caller and let them take the call by any key; ``about_call`` is the caller's."""

    text: str
    about_call: str
    part: int = 1


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Put the caller into one of the carrier's queues, which humans take calls from."""

    queue: str
    part: int = 1
    say: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """Let the caller hear ringing for some seconds, then ask again."""

    part: int = 1
    say: str = ""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Let the caller hear ringing for some seconds while it is being decided what comes next, then ask that again."""

    asked: NextAsked
    say: str = ""


@dataclass(frozen=True, slots=True)
class TakeMessage:
    """Say ``text`` and record what the caller says after a tone, at most ``limit_s`` of it."""

    text: str
    part: int = 1
    limit_s: int = 180


Instruction = (
    ConnectStream | SayAndHangUp | HangUp | DialHuman | JoinRoom | BriefHuman | Enqueue | Hold | AskAgain | TakeMessage
)


class MediaSocket(Protocol):
    """An accepted media socket whose ``start`` has been read; the route's WebSocket behind it."""

    start: StreamStarted
    protocol: MediaProtocol

    async def receive(self) -> str | bytes | None:
        """Return the next message, None once the other side is gone (closed or dropped)."""
        ...

    def hand_over(self, take: Callable[[str | bytes | None], None]) -> None:
        """Call ``take`` with each message, on the event loop as it comes, first with those that wait; with None
        once the other side is gone. ``receive`` is for those who did not ask for this."""
        ...

    def hold(self, packet_bytes: int, packets: int) -> None:
        """Messages of about ``packet_bytes`` may wait until so many of them are there, or anything else comes; a hint,
        which holds for one time."""
        ...

    async def send(self, *messages: str) -> None:
        """Send text messages; silently does nothing once the other side is gone."""
        ...

    def send_now(self, *messages: str) -> bool:
        """Send text messages by a plain call; False, and nothing sent, where only ``send`` can, which may wait."""
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

    async def what_next(self, asked: NextAsked) -> Instruction:
        """Decide what comes next in a call; carriers repeat these requests too."""
        ...


class Carrier(Protocol):
    """One phone network. Paths are relative to the public origin, e.g. ``/twilio/voice``.

    ``can_call`` says whether there are credentials to make calls with.
    """

    name: str
    webhook_path: str
    action_path: str
    media_path: str
    hold_sound_path: str

    @property
    def can_call(self) -> bool: ...

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

    def next_asked(self, form: Mapping[str, str], query: Mapping[str, str]) -> NextAsked:
        """Read an action request's form and the query of its URL; raises like ``inbound_call``."""
        ...

    def render(self, instruction: Instruction) -> str:
        """Write an instruction in the carrier's own language (XML)."""
        ...

    def media_protocol(self) -> MediaProtocol:
        """Return a protocol for one new socket."""
        ...

    async def redirect(self, call_id: str, *, part: int = 0) -> bool:
        """Make the carrier end a live call's stream and ask what comes next; False as ``hang_up``.

        Raises:
            telephony.errors.CarrierUnavailable: the API could not be reached or refused.
        """
        ...

    async def call_human(self, to: str, from_number: str, *, about_call: str, part: int, timeout_s: int) -> str:
        """Call a human about a caller's call; return the new call's id. Its briefing is asked for when it is answered.

        Raises:
            telephony.errors.CarrierUnavailable: the API could not be reached or refused, or has no credentials.
        """
        ...

    async def remove_message(self, address: str) -> bool:
        """Remove a message that a caller left, by ``NextAsked.recording_url``; False if it is gone, or as ``hang_up``.

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
