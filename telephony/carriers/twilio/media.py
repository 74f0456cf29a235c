"""Twilio Media Streams: JSON text messages ↔ events, without I/O.

    {"event": "start" | "media" | "dtmf" | "mark" | "stop", …} ──▶ TwilioMedia.receive ──▶ MediaEvent
    bytes of µ-law ──▶ TwilioMedia.audio ──▶ {"event": "media", "streamSid": …, "media": {"payload": …}}

Message shapes: https://www.twilio.com/docs/voice/media-streams/websocket-messages. Numbers arrive as strings. Packets,
50 a second, come in one shape and are read by that; what looks different, by a space or the order of its fields, is
read as JSON.
"""

import binascii
import json
import re
from collections.abc import Callable, Mapping
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

MAX_MESSAGE_CHARS = 64 * 1024
_MAX_TEXT = 512
_decode_json = json.JSONDecoder().raw_decode  # json.loads costs twice as much, 50 times a second and call
_packet = re.compile(
    r'\{"event":"media","sequenceNumber":"(\d{1,15})","media":\{"track":"inbound","chunk":"\d{1,15}",'
    r'"timestamp":"(\d{1,15})","payload":"([A-Za-z0-9+/=]{1,32768})"\},"streamSid":"(\w{1,512})"\}',
    re.ASCII,
).fullmatch
_JSON_SPACE = " \t\n\r"
_DIGITS = frozenset("0123456789*#ABCD")


class _Unusable(Exception):
    """Why a message can't be used; never holds its content."""


class TwilioMedia:
    """One socket's conversation, as ``telephony.media.MediaProtocol``."""

    def __init__(self) -> None:
        self._stream_id = ""
        self._audio_begins = self._mark_begins = ""
        self._readers: Mapping[str, Callable[[dict[str, Any]], MediaEvent | None]] = {
            "connected": lambda _: None,
            "start": self._start,
            "media": self._media,
            "dtmf": self._dtmf,
            "mark": self._mark,
            "stop": lambda _: StreamStopped(),
        }

    def receive(self, message: str | bytes) -> MediaEvent | None:
        if isinstance(message, str) and (packet := self._by_shape(message)):
            return packet
        try:
            fields = _parse(message)
            event = fields.get("event")
            reader = self._readers.get(event) if isinstance(event, str) else None
            if reader is None:
                raise _Unusable("its event is not one this version knows")
            if event not in ("connected", "start"):
                self._expect_our_stream(fields)
            return reader(fields)
        except _Unusable as why:
            return MessageIgnored(str(why))

    def audio(self, payload: bytes) -> str:
        if not self._audio_begins:
            self._audio_begins = self._message("media", media={"payload": ""}).removesuffix('"}}')
        encoded = binascii.b2a_base64(payload, newline=False).decode("ascii")
        return f'{self._audio_begins}{encoded}"}}}}'  # base64 needs no escapes

    def mark(self, name: str) -> str:
        if not self._mark_begins:
            self._mark_begins = self._message("mark", mark={"name": ""}).removesuffix('""}}')
        return f"{self._mark_begins}{json.dumps(name)}}}}}"

    def clear(self) -> str:
        return self._message("clear")

    def _message(self, event: str, **parts: object) -> str:
        if not self._stream_id:
            raise RuntimeError("the media stream has not started")
        return json.dumps({"event": event, "streamSid": self._stream_id, **parts}, separators=(",", ":"))

    def _expect_our_stream(self, fields: dict[str, Any]) -> None:
        if not self._stream_id:
            raise _Unusable("it came before the stream's start")
        if fields.get("streamSid", self._stream_id) != self._stream_id:
            raise _Unusable("it belongs to another stream")

    def _by_shape(self, message: str) -> AudioPacket | None:
        """Return what JSON would, in half the time, or None."""
        if (match := _packet(message)) is None:
            return None
        sequence, at_ms, encoded, stream_id = match.groups()
        if stream_id != self._stream_id:
            return None
        try:
            return AudioPacket(int(at_ms), int(sequence), binascii.a2b_base64(encoded, strict_mode=True))
        except ValueError:
            return None

    def _start(self, fields: dict[str, Any]) -> StreamStarted:
        if self._stream_id:
            raise _Unusable("the stream had started already")
        start = _object(fields, "start")
        wire = start.get("mediaFormat", {})
        if not isinstance(wire, dict) or not _is_phone(wire):
            raise _Unusable("its start announces audio other than 8 kHz µ-law, one channel")
        given = start.get("customParameters", {})
        parameters = given.items() if isinstance(given, dict) else ()
        started = StreamStarted(
            stream_id=_text(fields if "streamSid" in fields else start, "streamSid"),
            call_id=_text(start, "callSid"),
            account_id=_text(start, "accountSid"),
            parameters={k: v for k, v in parameters if isinstance(v, str) and len(k) + len(v) <= 2 * _MAX_TEXT},
            wire=PHONE,
        )
        self._stream_id = started.stream_id
        return started

    def _media(self, fields: dict[str, Any]) -> AudioPacket:
        media = _object(fields, "media")
        if media.get("track", "inbound") not in ("inbound", "inbound_track"):
            raise _Unusable("its track is not the caller's")
        encoded = media.get("payload")
        if not isinstance(encoded, str):
            raise _Unusable("its media holds no payload")
        try:
            payload = binascii.a2b_base64(encoded, strict_mode=True)
        except ValueError:  # also for what is not ASCII
            raise _Unusable("its payload is not base64") from None
        if not payload:
            raise _Unusable("its payload is empty")
        return AudioPacket(_number(media, "timestamp"), _number(fields, "sequenceNumber"), payload)

    def _dtmf(self, fields: dict[str, Any]) -> DigitPressed:
        digit = _object(fields, "dtmf").get("digit")
        if not isinstance(digit, str) or digit not in _DIGITS:
            raise _Unusable("its digit is not a key of a telephone")
        return DigitPressed(digit)

    def _mark(self, fields: dict[str, Any]) -> MarkPlayed:
        return MarkPlayed(_text(_object(fields, "mark"), "name"))


def _parse(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, bytes):
        raise _Unusable("it is binary")
    if len(message) > MAX_MESSAGE_CHARS:
        raise _Unusable(f"it is longer than {MAX_MESSAGE_CHARS // 1024} KiB")
    try:
        message = message.strip(_JSON_SPACE)
        fields, end = _decode_json(message)
    except (ValueError, RecursionError):
        raise _Unusable("it is not JSON") from None
    if end != len(message):
        raise _Unusable("more than JSON is in it")
    if not isinstance(fields, dict):
        raise _Unusable("it is not a JSON object")
    return fields


def _object(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise _Unusable(f"its {name!r} is not an object")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        raise _Unusable(f"its {name!r} is not a short text")
    return value


def _number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is str and len(value) <= 15 and value.isascii() and value.isdigit():
        return int(value)
    if type(value) is int and 0 <= value < 10**15:  # not bool
        return value
    raise _Unusable(f"its {name!r} is not a whole number")


def _is_phone(wire: dict[str, Any]) -> bool:
    given = [str(wire.get(k, d)) for k, d in (("encoding", "audio/x-mulaw"), ("sampleRate", 8000), ("channels", 1))]
    return given == ["audio/x-mulaw", "8000", "1"]
