"""What the phone has yet to play: the carrier's queue, 20 ms at a time.

media, mark, clear ──▶ Playout ──tick──▶ 160 bytes heard, marks reached
"""

from collections import deque

from telephony.audio import g711
from telephony.media import PHONE

MAX_QUEUED_MS = 600_000
_BYTES_PER_MS = PHONE.sample_hz // 1000
_SILENCE = g711.SILENCE * PHONE.packet_bytes


class Playout:
    """Plays in order; a mark is reached when all audio queued before it has been played."""

    def __init__(self) -> None:
        self._queue: deque[bytes | str] = deque()
        self._queued_bytes = 0

    @property
    def queued_ms(self) -> int:
        """How much is still to be played."""
        return self._queued_bytes // _BYTES_PER_MS

    def add(self, payload: bytes) -> bool:
        """Queue audio; False if the carrier's ten minutes are full and it was thrown away."""
        if self.queued_ms + len(payload) // _BYTES_PER_MS > MAX_QUEUED_MS:
            return False
        self._queue.append(payload)
        self._queued_bytes += len(payload)
        return True

    def mark(self, name: str) -> None:
        """Queue a mark."""
        self._queue.append(name)

    def clear(self) -> list[str]:
        """Drop everything; return the marks that were waiting, in order."""
        marks = [item for item in self._queue if isinstance(item, str)]
        self._queue.clear()
        self._queued_bytes = 0
        return marks

    def reached(self) -> list[str]:
        """Return, and forget, the marks with nothing left to play before them."""
        marks: list[str] = []
        while self._queue and isinstance(self._queue[0], str):
            marks.append(self._queue[0])
            self._queue.popleft()
        return marks

    def tick(self) -> bytes:
        """Play 20 ms: 160 bytes of µ-law, silence where there is nothing. Marks never hold audio up."""
        played = bytearray()
        marks: list[str] = []
        while self._queue and len(played) < PHONE.packet_bytes:
            item = self._queue.popleft()
            if isinstance(item, str):
                marks.append(item)
                continue
            wanted = PHONE.packet_bytes - len(played)
            played += item[:wanted]
            if len(item) > wanted:
                self._queue.appendleft(item[wanted:])
        self._queued_bytes -= len(played)
        self._queue.extendleft(reversed(marks))
        return bytes(played) + _SILENCE[len(played) :]
