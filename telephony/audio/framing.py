"""Packets of 20 ms become frames of 80 ms: gaps filled with silence, latecomers dropped, all of it counted.

AudioPacket at 0, 20, 40, 60, 80, 120 … ms ──▶ FrameAssembler ──▶ CallerAudio at 0, 80, … ms, [640] int16
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telephony.audio import g711
from telephony.media import PHONE, AudioPacket, WireFormat

FRAME_MS = 80
MAX_GAP_MS = 2_000
_LATE_BEFORE_NEW_CLOCK = 25


@dataclass(frozen=True, slots=True)
class CallerAudio:
    """80 ms of the caller. ``at_ms`` is media time of its first sample, always a multiple of 80.

    ``pcm`` is [640] int16 at 8 kHz; ``filled_ms`` of it are silence in place of lost packets.
    """

    at_ms: int
    pcm: NDArray[np.int16]
    filled_ms: int = 0


@dataclass(slots=True)
class LineCounters:
    """What the line did to one call. ``gaps`` are holes that were filled, ``filled_ms`` their length together;
    ``late`` are packets dropped because their time had passed (duplicates too); ``clock_jumps`` are leaps of the
    carrier's clock too long to fill, where the stream was closed up; ``unusable`` are empty or overlong packets."""

    packets: int = 0
    gaps: int = 0
    filled_ms: int = 0
    late: int = 0
    clock_jumps: int = 0
    unusable: int = 0


class FrameAssembler:
    """One call's packets → frames. Media time never runs backwards or leaps: frame k begins at ``80 * k`` ms.

    A packet less than its own length off the expected time is taken as it comes, so carriers whose first timestamp
    is not 0 lose nothing. After 25 packets in a row that came too late, the carrier's clock is taken anew.
    """

    def __init__(self, wire: WireFormat = PHONE) -> None:
        """Raises ValueError for audio other than 8 kHz µ-law."""
        if (wire.encoding, wire.sample_hz) != ("mulaw", 8_000):
            raise ValueError(f"frames are made of 8 kHz µ-law, not {wire.encoding} at {wire.sample_hz} Hz")
        self.counters = LineCounters()
        self._samples_per_ms = wire.sample_hz // 1000
        self._frame_bytes = FRAME_MS * self._samples_per_ms
        self._waiting = bytearray()
        self._filled_ms = 0
        self._frames = 0
        self._clock_offset_ms = 0
        self._late_in_a_row = 0
        self._packet_bytes = self._frame_bytes

    @property
    def missing_packets(self) -> int:
        """How many packets like the last one the next frame takes."""
        return -((len(self._waiting) - self._frame_bytes) // self._packet_bytes)

    def push(self, packet: AudioPacket) -> list[CallerAudio]:
        """Take one packet; return the frames it completes (usually none or one, at most 2 s of them)."""
        length_ms = len(packet.payload) // self._samples_per_ms
        if not 0 < length_ms <= MAX_GAP_MS:
            self.counters.unusable += 1
            return []
        self.counters.packets += 1
        next_ms = self._frames * FRAME_MS + len(self._waiting) // self._samples_per_ms
        gap_ms = packet.at_ms + self._clock_offset_ms - next_ms
        if gap_ms <= -length_ms and not self._clock_is_new():
            self.counters.late += 1
            return []
        self._late_in_a_row = 0
        if gap_ms > MAX_GAP_MS or gap_ms <= -length_ms:
            self._clock_offset_ms -= gap_ms
            self.counters.clock_jumps += 1
        elif gap_ms >= length_ms:
            self._fill(gap_ms)
        self._waiting += packet.payload
        self._packet_bytes = len(packet.payload)
        return self._complete() if len(self._waiting) >= self._frame_bytes else []

    def _clock_is_new(self) -> bool:
        self._late_in_a_row += 1
        return self._late_in_a_row > _LATE_BEFORE_NEW_CLOCK

    def _fill(self, gap_ms: int) -> None:
        self._waiting += g711.SILENCE * (gap_ms * self._samples_per_ms)
        self._filled_ms += gap_ms
        self.counters.gaps += 1
        self.counters.filled_ms += gap_ms

    def _complete(self) -> list[CallerAudio]:
        frames = []
        while len(self._waiting) >= self._frame_bytes:
            pcm = g711.decode(bytes(self._waiting[: self._frame_bytes]))
            del self._waiting[: self._frame_bytes]
            filled_ms = min(self._filled_ms, FRAME_MS)
            self._filled_ms -= filled_ms
            frames.append(CallerAudio(self._frames * FRAME_MS, pcm, filled_ms))
            self._frames += 1
        return frames
