"""What dead processes left of their calls goes into the log: at start-up, and when one has fallen silent."""

import asyncio

import structlog

from crm.call import Call
from crm.ending import CallEnd, make_end, save_end, save_unsaved
from crm.errors import RecordingUnavailable
from crm.journal import read_journal
from crm.recordings import Recordings, recover
from crm.store import LOST, OPEN, CallStore

log = structlog.get_logger(__name__)


async def recover_lost_calls(store: CallStore, recordings: Recordings) -> int:
    """Save what dead processes left of their calls, and mark those calls lost; returns how many.

    First come the ends that the database could not take at the time; those calls are not lost.
    Call it at start-up, before any call is answered.

    Raises:
        SQLAlchemyError: the database is away.
    """
    saved = await save_unsaved(store, recordings)
    lost = await store.left_behind()
    for call in lost:
        await recover_lost_call(store, recordings, call)
    if saved or lost:
        log.warning("calls of an earlier run were recovered", lost=len(lost), saved=saved)
    return len(lost)


async def recover_calls_of(store: CallStore, recordings: Recordings, gateway: str) -> int:
    """Do the same for the calls of one process that is gone, wherever it ran; returns how many were still open.

    Those that were given up before get what was said in them, where it lies in this folder. Raises like
    ``recover_lost_calls``.
    """
    await save_unsaved(store, recordings)
    left = await store.left_by(gateway)
    for call in left:
        if call.status in OPEN or recordings.journal(call.id).exists():
            await recover_lost_call(store, recordings, call)
    return sum(call.status in OPEN for call in left)


async def recover_lost_call(store: CallStore, recordings: Recordings, call: Call) -> None:
    """Save what a dead process left of one call, and mark it lost; raises like ``recover_lost_calls``."""
    end = await asyncio.to_thread(_end, call, recordings)
    await save_end(store, recordings, call.id, end, expect=call.status)


def _end(call: Call, recordings: Recordings) -> CallEnd:
    notes = read_journal(recordings.journal(call.id))
    length_ms = notes.clock_ms
    if notes.recording:
        try:
            length_ms = recover(recordings.file(notes.recording))
        except RecordingUnavailable:
            notes.recording = ""
    lost = LOST.get(call.status, LOST["live"])
    return make_end(notes, recordings, "lost", lost["outcome"], lost["reason"], max(length_ms, notes.clock_ms))
