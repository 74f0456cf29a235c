"""The folder of recordings: two tracks a call, 8 kHz, 16 bits, caller left, agent right.

recordings/2026/07/14/CALL.wav   and beside it CALL.peaks-N.json, for the player
recordings/live/CALL.jsonl       journal of a call in progress
recordings/unsaved/CALL.json     end of a call that the database could not take
"""

import json
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import numpy as np

from crm.errors import RecordingUnavailable
from crm.tracks import BLOCK_BYTES, HEADER_BYTES, TRACKS, Pcm, wav_header

_SAFE_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}")
RECORDING = re.compile(r"\d{4}/\d{2}/\d{2}/[0-9a-zA-Z_-]{1,64}\.wav")


class Recordings:
    """The folder of recordings. Paths handed out are relative to it, e.g. ``2026/07/14/CALL.wav``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, call_id: str) -> str:
        """Return where today's recording of a call goes."""
        return f"{datetime.now(UTC):%Y/%m/%d}/{_safe(call_id)}.wav"

    def file(self, recording: str) -> Path:
        """Return the file of a call's ``recording``, for reading.

        Raises:
            RecordingUnavailable: the call has none, it was removed, or the path leads elsewhere.
        """
        if not recording:
            raise RecordingUnavailable("This call has no recording.")
        if not RECORDING.fullmatch(recording):
            raise RecordingUnavailable("This is not the path of a recording.")
        path = self.folder / recording
        if not path.is_file():
            raise RecordingUnavailable("The recording of this call is no longer there, or lies on another machine.")
        return path

    def tracks(self, recording: str) -> Pcm:
        """Return both tracks, [N, 2] int16, caller first, read from the disk as they are used.

        Raises:
            RecordingUnavailable: as ``file``; or it is no recording of ours.
        """
        return read_tracks(self.file(recording))

    def peaks(self, recording: str, n: int = 800) -> dict[str, list[float]]:
        """Return the loudest sample in each of ``n`` slices, 0 … 1, by side; computed once, kept beside the file.

        Raises:
            RecordingUnavailable: as ``tracks``.
            ValueError: ``n`` is not in 1 … 10 000.
        """
        if not 1 <= n <= 10_000:
            raise ValueError("peaks are given in 1 to 10 000 slices")
        path = self.file(recording)
        kept = path.with_suffix(f".peaks-{n}.json")
        stamp = path.stat().st_mtime_ns
        with suppress(OSError, ValueError):  # not made yet, or torn: made again
            if kept.stat().st_mtime_ns >= stamp:
                return json.loads(kept.read_text())
        found = _peaks(read_tracks(path), n)
        with suppress(OSError):  # a full disk: next time again
            write_whole(kept, json.dumps(found))
            if not path.exists():  # erased meanwhile
                kept.unlink(missing_ok=True)
        return found

    def journal(self, call_id: str) -> Path:
        """Return the journal of a call in progress."""
        return self.folder / "live" / f"{_safe(call_id)}.jsonl"

    def unsaved(self, call_id: str) -> Path:
        """Return where the end of a call waits for the database."""
        return self.folder / "unsaved" / f"{_safe(call_id)}.json"

    def all_unsaved(self) -> list[Path]:
        """Return the ends of calls that still wait for the database."""
        return sorted((self.folder / "unsaved").glob("*.json"))


def read_tracks(path: Path) -> Pcm:
    """Return a recording's tracks, [N, 2] int16, mapped from the file.

    Raises:
        RecordingUnavailable: it is not a recording of ours.
    """
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
            samples = min(_samples_in(header), (os.fstat(file.fileno()).st_size - HEADER_BYTES) // BLOCK_BYTES)
        if samples <= 0:
            return np.zeros((0, 2), np.int16)
        return np.memmap(path, "<i2", "r", HEADER_BYTES, (samples, 2))
    except (OSError, ValueError) as error:
        raise RecordingUnavailable("The recording of this call cannot be read.") from error


def recover(path: Path) -> int:
    """Mend the header of a recording whose process was killed; return its length in milliseconds.

    Raises:
        RecordingUnavailable: it is not a recording of ours, or cannot be written.
    """
    try:
        with path.open("r+b") as file:
            _samples_in(file.read(HEADER_BYTES))
            samples = max(0, os.fstat(file.fileno()).st_size - HEADER_BYTES) // BLOCK_BYTES
            file.truncate(HEADER_BYTES + samples * BLOCK_BYTES)
            file.seek(0)
            file.write(wav_header(samples))
    except (OSError, ValueError) as error:
        raise RecordingUnavailable("The recording of this call cannot be mended.") from error
    return samples // 8


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader finds all of it or none.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _safe(call_id: str) -> str:
    if not _SAFE_ID.fullmatch(call_id):
        raise ValueError("a call's id is made of letters, digits, - and _")
    return call_id


def _samples_in(header: bytes) -> int:
    """Return what the header says; its lengths aside, it must be the one we write."""
    expected = wav_header(0)
    if len(header) != HEADER_BYTES or header[8:40] != expected[8:40]:
        raise ValueError("not a recording of ours")
    return int.from_bytes(header[40:44], "little") // BLOCK_BYTES


def _peaks(tracks: Pcm, n: int) -> dict[str, list[float]]:
    edges = np.linspace(0, len(tracks), n + 1).astype(int)
    peaks: dict[str, list[float]] = {side: [] for side in TRACKS}
    for low, high in pairwise(edges):
        part = np.abs(tracks[low:high].astype(np.int32))
        loudest = part.max(axis=0) if len(part) else np.zeros(2)
        for side, track in TRACKS.items():
            peaks[side].append(round(min(1.0, float(loudest[track]) / 32_767), 4))
    return peaks
