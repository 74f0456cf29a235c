"""A page's media socket: JSON for what happens, bytes for the caller's audio, without I/O.

{"event": "start" | "dtmf" | "mark" | "stop", …} ──▶ BrowserMedia.receive ──▶ MediaEvent
packet's number, 4 bytes, big-endian; then its µ-law ──▶ BrowserMedia.receive ──▶ AudioPacket
bytes of µ-law ──▶ BrowserMedia.audio ──▶ {"event": "media", "payload": base64}
"""

import binascii
import json
from typing import Any

from telephony.media import (
    PHONE,
    AudioPacket,
    DigitPressed,
    MarkPlayed,
    MediaEvent,
    MessageIgnored,
    StreamStarted,
    StreamStopped,
)

MOST_PACKET_BYTES = 8 * PHONE.packet_bytes
_MOST_CHARS = 8 * 1024
_MOST_TEXT = 512
_NUMBER_BYTES = 4
_DIGITS = frozenset("0123456789*#ABCD")


class _Unusable(Exception):
    """Why a message can't be used; never holds its content."""


class BrowserMedia:
    """One socket's conversation, as ``telephony.media.MediaProtocol``."""

    def __init__(self) -> None:
        self._started = False

    def receive(self, message: str | bytes) -> MediaEvent | None:
        try:
            return self._packet(message) if isinstance(message, bytes) else self._event(_parse(message))
        except _Unusable as why:
            return MessageIgnored(str(why))

    def audio(self, payload: bytes) -> str:
        return self._message("media", payload=binascii.b2a_base64(payload, newline=False).decode("ascii"))

    def mark(self, name: str) -> str:
        return self._message("mark", name=name)

    def clear(self) -> str:
        return self._message("clear")

    def told(self, **what: object) -> str:
        """Return the message that tells the page something about its call, beside the sound."""
        return self._message("told", **what)

    def _message(self, event: str, **parts: object) -> str:
        if not self._started:
            raise RuntimeError("the media stream has not started")
        return json.dumps({"event": event, **parts}, separators=(",", ":"))

    def _event(self, fields: dict[str, Any]) -> MediaEvent:
        event = fields.get("event")
        if event == "start":
            return self._start(fields)
        if not self._started:
            raise _Unusable("it came before the stream's start")
        if event == "dtmf":
            digit = fields.get("digit")
            if not isinstance(digit, str) or digit not in _DIGITS:
                raise _Unusable("its digit is not a key of a telephone")
            return DigitPressed(digit)
        if event == "mark":
            return MarkPlayed(_text(fields, "name"))
        if event == "stop":
            return StreamStopped()
        raise _Unusable("its event is not one this version knows")

    def _start(self, fields: dict[str, Any]) -> StreamStarted:
        if self._started:
            raise _Unusable("the stream had started already")
        given = fields.get("parameters", {})
        parameters = given.items() if isinstance(given, dict) else ()
        started = StreamStarted(
            stream_id=_text(fields, "call"),
            call_id=_text(fields, "call"),
            account_id=_text(fields, "account"),
            parameters={k: v for k, v in parameters if isinstance(v, str) and len(k) + len(v) <= 2 * _MOST_TEXT},
            wire=PHONE,
        )
        self._started = True
        return started

    def _packet(self, message: bytes) -> AudioPacket:
        if not self._started:
            raise _Unusable("it came before the stream's start")
        if not _NUMBER_BYTES < len(message) <= _NUMBER_BYTES + MOST_PACKET_BYTES:
            raise _Unusable("it is no packet of 8 kHz µ-law")
        number = int.from_bytes(message[:_NUMBER_BYTES], "big")
        return AudioPacket(number * PHONE.packet_ms, number, message[_NUMBER_BYTES:])


def _parse(message: str) -> dict[str, Any]:
    if len(message) > _MOST_CHARS:
        raise _Unusable(f"it is longer than {_MOST_CHARS // 1024} KiB")
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):
        raise _Unusable("it is not JSON") from None
    if not isinstance(fields, dict):
        raise _Unusable("it is not a JSON object")
    return fields


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT or not value.isprintable():
        raise _Unusable(f"its {name!r} is not a short text")
    return value
