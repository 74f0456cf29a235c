"""What a call's end means for its row: notes and tracks → turns, transfers, figures.

Notes + recording ─▶ CallEnd ─▶ CallStore.finish
                            └─▶ unsaved/CALL.json, where the database is away, ─▶ a later start
"""

import asyncio
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from crm.activity import activity, runs_ms
from crm.call import CallEvent, Handoff, Outcome, Status, TimedWord, Transfer, Turn
from crm.dynamics import dynamics_of
from crm.errors import RecordingUnavailable, UnknownCall
from crm.journal import Notes
from crm.recordings import Recordings, write_whole
from crm.store import CallStore
from crm.tracks import TRACKS
from crm.transcribe import ipus_of, turns_of, words_of

Runs = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The arguments of ``CallStore.finish``."""

    status: Status
    outcome: Outcome
    reason: str = ""
    duration_ms: int | None = None
    recording: str = ""
    turns: tuple[Turn, ...] = ()
    events: tuple[CallEvent, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    timing: dict[str, float] = field(default_factory=dict)
    dynamics: dict[str, Any] = field(default_factory=dict)
    handoff: Handoff | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def make_end(
    notes: Notes,
    recordings: Recordings,
    status: Status,
    outcome: Outcome,
    reason: str,
    duration_ms: int,
    handoff: Handoff | None = None,
) -> CallEnd:
    """Find turns and figures of a call that is over. Reads the whole recording: call it in a thread."""
    runs: dict[str, Runs] = {side: [] for side in TRACKS}
    recording = notes.recording
    try:
        tracks = recordings.tracks(recording)
        runs = {side: runs_ms(activity(tracks[:, track])) for side, track in TRACKS.items()}
    except RecordingUnavailable:
        recording = ""
    spoken = ipus_of(runs["caller"], runs["agent"], notes.words, words_of(notes.agent_pieces()))
    measured = dynamics_of(list(spoken.caller), list(spoken.agent), duration_ms) if recording else None
    return CallEnd(
        status=status,
        outcome=outcome,
        reason=reason,
        duration_ms=duration_ms,
        recording=recording,
        turns=tuple(turns_of(spoken)),
        events=tuple(notes.events),
        transfers=measured.transfers if measured else (),
        timing={name: round(median(values), 1) for name, values in notes.timings.items()},
        dynamics=measured.summary() if measured else {},
        handoff=handoff,
    )


async def save_end(
    store: CallStore, recordings: Recordings, call_id: str, end: CallEnd, expect: Status | None = None
) -> bool:
    """Put an end into the log; where the database is away, beside the recordings. Returns whether it is in the log.

    ``expect`` ends the call only in this status: of two processes that end it for a third, one does.

    Raises:
        UnknownCall: there is no such call.
        OSError: neither the database nor the disk took it; the call's journal stays for the next start.
    """
    try:
        await store.finish(call_id, **end.arguments(), expect=expect)
    except (SQLAlchemyError, OSError):
        await asyncio.to_thread(write_whole, recordings.unsaved(call_id), json.dumps(asdict(end)))
        is_logged = False
    else:
        is_logged = True
    recordings.journal(call_id).unlink(missing_ok=True)
    return is_logged


async def save_unsaved(store: CallStore, recordings: Recordings) -> int:
    """Put the ends into the log that it could not take when they came; returns how many.

    Raises:
        SQLAlchemyError: the database is still away; nothing is lost.
    """
    saved = 0
    for path in recordings.all_unsaved():
        try:
            end = read_end(path)
        except FileNotFoundError:  # another process was first
            continue
        except (OSError, ValueError, KeyError, TypeError):
            # Kept for a person to look at, out of the way of the next start.
            path.rename(path.with_suffix(".unreadable"))
            continue
        try:
            saved += await store.finish(path.stem, **end.arguments())
        except UnknownCall:
            path.rename(path.with_suffix(".unknown"))
            continue
        path.unlink(missing_ok=True)
    return saved


def read_end(path: Path) -> CallEnd:
    """Read an end that was put beside the recordings.

    Raises:
        OSError, ValueError, KeyError, TypeError: it cannot be read.
    """
    values = json.loads(path.read_text())
    handoff = values.pop("handoff", None)
    turns = [turn | {"words": tuple(TimedWord(**word) for word in turn["words"])} for turn in values.pop("turns")]
    return CallEnd(
        handoff=Handoff(**handoff) if handoff else None,
        turns=tuple(Turn(**turn) for turn in turns),
        events=tuple(CallEvent(**event) for event in values.pop("events")),
        transfers=tuple(Transfer(**transfer) for transfer in values.pop("transfers")),
        **values,
    )
