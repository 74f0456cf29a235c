"""The port of a media socket: wire messages ↔ events, without I/O.

text frames ──▶ MediaProtocol.receive ──▶ MediaEvent …
bytes of audio ──▶ MediaProtocol.audio / mark / clear ──▶ text frames
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class WireFormat:
    """Audio as it crosses the wire: one channel, ``packet_bytes`` every ``packet_ms``."""

    encoding: Literal["mulaw", "alaw", "pcm16"]
    sample_hz: int
    packet_ms: int
    packet_bytes: int


PHONE = WireFormat(encoding="mulaw", sample_hz=8_000, packet_ms=20, packet_bytes=160)


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The socket's first real message: which call this is. ``parameters`` are what our answer sent along."""

    stream_id: str
    call_id: str
    account_id: str
    parameters: Mapping[str, str]
    wire: WireFormat


class AudioPacket(NamedTuple):  # made 50 times a second and call, in half the time of a frozen dataclass
    """The caller's audio. ``at_ms`` is media time: milliseconds since the stream began, by the carrier's clock.

    ``sequence`` counts the carrier's messages; a jump means lost packets.
    """

    at_ms: int
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """A DTMF key: one of 0-9, *, #, A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """Everything sent before the mark ``name`` has been played (or cleared)."""

    name: str


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """The carrier ended the stream: the caller hung up or the call was redirected."""


@dataclass(frozen=True, slots=True)
class MessageIgnored:
    """A message that could not be used; ``reason`` never holds its content."""

    reason: str


MediaEvent = StreamStarted | AudioPacket | DigitPressed | MarkPlayed | StreamStopped | MessageIgnored


class MediaProtocol(Protocol):
    """One socket's conversation. Nothing that arrives makes it raise: odd messages become MessageIgnored."""

    def receive(self, message: str | bytes) -> MediaEvent | None:
        """Take one WebSocket message; return what it means, None for those that mean nothing (``connected``)."""
        ...

    def audio(self, payload: bytes) -> str:
        """Return the message that plays ``payload`` (a multiple of the wire's ``packet_bytes``) after all sent before.

        Raises:
            RuntimeError: the stream has not started.
        """
        ...

    def mark(self, name: str) -> str:
        """Return the message that asks for MarkPlayed(name) once all audio before it has been played."""
        ...

    def clear(self) -> str:
        """Return the message that drops audio not yet played; pending marks come back at once."""
        ...
