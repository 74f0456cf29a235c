"""Removing files of calls: recordings, peaks, journals, ends that waited for the database, what is left of torn writes.

recordings/erased/CALL          the call was erased on request: should a backup bring it back, it is erased again
recordings/erased/customer-17   the same of a customer's profile
"""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from crm.call import Erasure
from crm.recordings import RECORDING, Recordings, write_whole

_STEM = re.compile(r"\.?([0-9a-zA-Z_-]{1,64})\.")
_CALL_ID = re.compile(r"[0-9a-f]{32}")
_NOTES = ("live", "unsaved")
_TOMBSTONES = "erased"
_STILL_USED = timedelta(days=2)  # a call's first second may be yesterday's, and clocks of two machines differ


class Doomed(NamedTuple):
    """A call of which something goes, as ``Call`` has it."""

    id: str
    recording: str
    erasing: Erasure
    voicemail: str = ""


def remove_files(recordings: Recordings, calls: Iterable[Doomed]) -> dict[str, str]:
    """Remove the files of calls; return, by call, why one can't be removed. What is gone already is no trouble.

    They are gone for good when this returns, though the power failed: only then may the rows forget them. Reads
    each folder once: blocks, call it in a thread.
    """
    wanted: dict[Path, dict[str, str]] = defaultdict(dict)  # by folder: a file's stem → the call's id
    for call in calls:
        if RECORDING.fullmatch(call.recording):
            path = recordings.folder / call.recording
            wanted[path.parent][path.stem] = call.id
        if call.erasing != "recording":
            for name in _NOTES:
                wanted[recordings.folder / name][call.id] = call.id
    stuck: dict[str, str] = {}
    for folder, ids in wanted.items():
        try:
            stuck |= _remove_from(folder, ids)
        except FileNotFoundError:
            continue
        except OSError as error:
            stuck |= dict.fromkeys(ids.values(), _why(folder, error))
        _drop_empty(recordings.folder, folder)
    return stuck


def old_folders(recordings: Recordings, before: date) -> list[str]:
    """Return the folders of days before ``before``, oldest first, e.g. ``2026/07/14``."""
    folders = (
        path.relative_to(recordings.folder).as_posix() for path in recordings.folder.glob("[0-9]*/[0-9]*/[0-9]*")
    )
    return sorted(each for each in folders if RECORDING.fullmatch(f"{each}/x.wav") and each < f"{before:%Y/%m/%d}")


def calls_in(recordings: Recordings, folder: str, before: datetime) -> set[str]:
    """Return the ids of calls that have files in a folder, last written before ``before``."""
    found = set()
    for stem, entry in _files(recordings.folder / folder):
        with suppress(FileNotFoundError):
            if _CALL_ID.fullmatch(stem) and entry.stat(follow_symlinks=False).st_mtime < before.timestamp():
                found.add(stem)
    return found


def bury(recordings: Recordings, names: Iterable[str], at: datetime) -> None:
    """Leave a tombstone for each name, a call's id or ``customer-ID``; they hold nothing but the time.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    folder = recordings.folder / _TOMBSTONES
    for name in names:
        write_whole(folder / name, at.isoformat())
    if folder.is_dir():
        _settle(folder)


def exhume(recordings: Recordings, name: str) -> None:
    """Take a tombstone away; harmless where there is none."""
    (recordings.folder / _TOMBSTONES / name).unlink(missing_ok=True)


def buried(recordings: Recordings) -> Mapping[str, datetime]:
    """Return what tombstones there are, with their times; one that can't be read is as old as its file."""
    found = {}
    folder = recordings.folder / _TOMBSTONES
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith("."):
            continue  # torn in the writing
        try:
            found[path.name] = datetime.fromisoformat(path.read_text()).astimezone(UTC)
        except (OSError, ValueError):
            found[path.name] = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    return found


def _remove_from(folder: Path, ids: Mapping[str, str]) -> dict[str, str]:
    stuck: dict[str, str] = {}
    removed = 0
    for stem, entry in _files(folder):
        if stem not in ids:
            continue
        try:
            os.unlink(entry.path)
            removed += 1
        except FileNotFoundError:
            continue
        except OSError as error:
            stuck[ids[stem]] = _why(Path(entry.path), error)
    if removed:
        _settle(folder)
    return stuck


def _files(folder: Path) -> Collection[tuple[str, os.DirEntry[str]]]:
    """Return the entries of a folder that are named like a call's files, each with what comes before the dot."""
    try:
        with os.scandir(folder) as entries:
            return [(found[1], entry) for entry in entries if (found := _STEM.match(entry.name))]
    except FileNotFoundError:
        return ()


def _settle(folder: Path) -> None:
    """Have the disk know what the folder holds."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _drop_empty(root: Path, folder: Path) -> None:
    """Remove the folder of a day, month and year that is empty and gets no more recordings."""
    day = folder.relative_to(root).parts
    last = (datetime.now(UTC) - _STILL_USED).strftime("%Y/%m/%d").split("/")
    for length in range(len(day), 0, -1):
        if len(day) != 3 or day[:length] >= tuple(last[:length]):
            return
        try:
            root.joinpath(*day[:length]).rmdir()
        except OSError:  # not empty
            return


def _why(path: Path, error: OSError) -> str:
    return f"{path} can't be removed: {error.strerror}."
