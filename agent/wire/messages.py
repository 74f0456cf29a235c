"""The messages of /api/chat: a first byte that says what it is, and the rest.

server → client  00 (the role prompt is in) · 01 sound · 02 UTF-8 text
client → server  01 sound
"""

from dataclasses import dataclass

HANDSHAKE = b"\x00"
_SOUND = b"\x01"
_TEXT = b"\x02"

UNSUPPORTED = 1003
MALFORMED = 1007


class WireError(Exception):
    """A message that the protocol does not know; the text is one sentence, ``code`` closes the WebSocket."""

    def __init__(self, message: str, code: int = MALFORMED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Handshake:
    """The role prompt is in: from now on frames are answered."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A slice of one side's sound; slices may be cut anywhere."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of what the agent says, with its own leading space."""

    text: str


def parse(message: bytes | str) -> Handshake | Sound | Text:
    """Read a WebSocket message.

    Raises:
        WireError: it is empty, a text frame, of an unknown kind, or text that is not UTF-8.
    """
    if isinstance(message, str):
        raise WireError("Text frames are not part of this protocol; send binary ones.", UNSUPPORTED)
    kind, rest = message[:1], message[1:]
    if kind == _SOUND:
        return Sound(rest)
    if kind == HANDSHAKE:
        return Handshake()
    if kind == _TEXT:
        try:
            return Text(rest.decode())
        except UnicodeDecodeError:
            raise WireError("A text message is not UTF-8.") from None
    if not kind:
        raise WireError("A message was empty; its first byte says what it is.")
    raise WireError(f"Messages of kind 0x{kind.hex()} are not part of this protocol; sound is 0x01.", UNSUPPORTED)


def sound_message(data: bytes) -> bytes:
    return _SOUND + data


def text_message(text: str) -> bytes:
    return _TEXT + text.encode()
