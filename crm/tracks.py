"""One call's two-track WAV file, valid on disk after every flush.

place(side, sample, pcm) ──▶ window of the last seconds, still open to change ──flush──▶ file
"""

import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crm.call import Side

SAMPLE_HZ = 8_000
SAMPLES_PER_MS = SAMPLE_HZ // 1000
TRACKS: dict[Side, int] = {"caller": 0, "agent": 1}
HEADER_BYTES = 44
BLOCK_BYTES = 4  # one int16 of either side
OPEN_SAMPLES = 4 * SAMPLE_HZ  # how far back a late packet still finds its place
WINDOW_SAMPLES = 12 * SAMPLE_HZ
LONGEST_SAMPLES = (2**32 - HEADER_BYTES) // BLOCK_BYTES - SAMPLE_HZ  # a RIFF file ends at 4 GiB: 37 hours

Pcm = NDArray[np.int16]


def wav_header(samples: int) -> bytes:
    """Return the header of a two-track file of ``samples`` sample pairs."""
    data_bytes = samples * BLOCK_BYTES
    form = struct.pack("<HHIIHH", 1, 2, SAMPLE_HZ, SAMPLE_HZ * BLOCK_BYTES, BLOCK_BYTES, 16)
    riff = b"RIFF" + struct.pack("<I", HEADER_BYTES - 8 + data_bytes) + b"WAVE"
    return riff + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", data_bytes)


class TrackWriter:
    """Writes one file; what nobody placed is silence. Not thread-safe: one thread owns it.

    Raises:
        OSError: from every method, when the disk is full or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        self._window = np.zeros((WINDOW_SAMPLES, 2), np.int16)
        self._base = 0  # the sample at the window's beginning
        self._dirty: tuple[int, int] | None = None
        self.samples = 0  # length of the recording
        self.late_samples = 0  # came after the window had passed them
        self._write(wav_header(0), 0)

    def place(self, side: Side, start: int, pcm: Pcm) -> None:
        """Put ``pcm``, [N] int16, at sample ``start`` of a side's track, over what was there."""
        if start < self._base:
            self.late_samples += min(len(pcm), self._base - start)
            pcm, start = pcm[self._base - start :], self._base
        # Longer than the window: in pieces. Past its end: the window moves on.
        for offset in range(0, min(len(pcm), LONGEST_SAMPLES - start), OPEN_SAMPLES):
            self._place(TRACKS[side], start + offset, pcm[offset : offset + OPEN_SAMPLES])

    def _place(self, track: int, start: int, pcm: Pcm) -> None:
        end = start + len(pcm)
        if end > self._base + WINDOW_SAMPLES:
            self.flush()
            self._move(end - OPEN_SAMPLES)
        self._window[start - self._base : end - self._base, track] = pcm
        low, high = self._dirty or (start, end)
        self._dirty = (min(low, start), max(high, end))
        self.samples = max(self.samples, end)

    def flush(self) -> None:
        """Write what changed, then the header that makes it count."""
        if self._dirty is None:
            return
        low, high = self._dirty
        block = self._window[low - self._base : high - self._base]
        self._write(block.astype("<i2").tobytes(), HEADER_BYTES + low * BLOCK_BYTES)
        self._write(wav_header(self.samples), 0)
        self._dirty = None
        if self.samples - self._base > 2 * OPEN_SAMPLES:
            self._move(self.samples - OPEN_SAMPLES)

    def _move(self, base: int) -> None:
        kept = self._window[base - self._base :].copy()
        self._window[: len(kept)] = kept
        self._window[len(kept) :] = 0
        self._base = base

    def close(self, samples: int) -> None:
        """Make the recording at least ``samples`` long, write the rest and close the file; it is on the disk then."""
        try:
            self.flush()
            self.samples = max(self.samples, min(samples, LONGEST_SAMPLES))
            os.ftruncate(self._fd, HEADER_BYTES + self.samples * BLOCK_BYTES)
            self._write(wav_header(self.samples), 0)
            os.fsync(self._fd)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as it is; harmless twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes, at: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, at)
            view, at = view[written:], at + written
