"""Whole pages from slices of an Ogg stream (RFC 3533), so that no slice makes a decoder do more than a page's work."""

from collections.abc import Iterator
from itertools import pairwise

from agent.wire.messages import WireError

MOST_PAGE_PACKETS = 100
"""Two seconds of 20 ms packets, 12 s of the longest; writers put a second into a page at most."""

_MAGIC = b"OggS"
_HEADER_BYTES = 27
_OPUS_HEAD = b"OpusHead"
_GOES_ON = 255
"""A lacing value after which a packet goes on; a smaller one ends it."""


class OggPages:
    """Gathers slices, cut anywhere, and gives out pages."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._begun = False
        self._last_lacing = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take a slice and yield the pages that are whole now, each when it is asked for.

        Raises:
            WireError: a page is torn, holds too much or an empty packet, or the stream does not begin as Opus does.
        """
        self._held += data
        while page := self._next():
            yield page

    def _next(self) -> bytes:
        held = self._held
        if not _MAGIC.startswith(held[:4]):
            raise WireError("The sound is not an Ogg stream: a page is torn, or was never one.")
        if len(held) < _HEADER_BYTES:
            return b""
        segments = held[26]
        body = _HEADER_BYTES + segments
        lacing = held[_HEADER_BYTES:body]
        end = body + sum(lacing)
        if len(lacing) < segments or len(held) < end:
            return b""
        if not self._begun and not held.startswith(_OPUS_HEAD, body):
            raise WireError("The sound's stream does not begin with an Opus header.")
        if sum(size < 255 for size in lacing) > MOST_PAGE_PACKETS:
            raise WireError(f"A page of sound holds more than {MOST_PAGE_PACKETS} packets; send shorter pages.")
        if any(before < _GOES_ON and not size for before, size in pairwise((self._last_lacing, *lacing))):
            # RFC 6716 3.4 allows none; a decoder takes it for a loss of unknown length and makes up seconds of sound.
            raise WireError("A packet of sound is empty; packets of Opus have one byte at least.")
        self._begun = True
        self._last_lacing = lacing[-1] if lacing else self._last_lacing
        page = bytes(held[:end])
        del held[:end]
        return page
