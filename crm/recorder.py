"""Keeps one call: both tracks, words, events and timings, without ever delaying or failing the call.

event loop ── deque ──▶ one thread for all calls, once a second: Tape ──▶ recording, journal
finish ──▶ a thread: turns and figures ──▶ one transaction, or a file for a later start
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import structlog

from crm.call import Handoff, Outcome
from crm.ending import CallEnd, make_end, save_end, save_unsaved
from crm.recordings import Recordings
from crm.recovery import recover_lost_call as recover_lost_call
from crm.recovery import recover_lost_calls as recover_lost_calls
from crm.store import CallStore
from crm.tape import Tape
from crm.tracks import Pcm

log = structlog.get_logger(__name__)

FLUSH_S = 1.0
MOST_WAITING = 10_000  # notes and packets: two minutes of a call whose disk hangs
_ONE_END = threading.Lock()  # calls that end together are worked out one by one: the calls beside them need the CPU

_Work = tuple[Callable[..., None], tuple[object, ...]]
"""A method of ``Tape``, and what it takes."""


class CallRecorder:
    """The tap of one call. All times are media time: milliseconds since the stream began.

    Methods never block the event loop and never raise into the call; what goes wrong becomes an
    event of the call. ``recordings`` is one a process.
    """

    def __init__(self, call_id: str, store: CallStore, recordings: Recordings) -> None:
        self.call_id = call_id
        self._store = store
        self._recordings = recordings
        self._waiting: deque[_Work] = deque()
        self._unkept = 0  # packets that a hanging disk left no room for
        self._tape: Tape | None = None
        self._keeping = threading.Lock()
        self._finished = False
        _keeper.add(self)

    def caller_audio(self, at_ms: int, pcm: Pcm) -> None:
        """Keep caller's audio, [N] int16 at 8 kHz, that was spoken at ``at_ms``."""
        self._keep_audio(pcm, Tape.caller_audio, at_ms)

    def agent_audio(self, frame_index: int, at_ms: int, pcm: Pcm) -> None:
        """Keep agent's audio, [N] int16 at 8 kHz, sent at ``at_ms``; it is placed where it plays."""
        self._keep_audio(pcm, Tape.agent_audio, frame_index, at_ms)

    def agent_played(self, frame_index: int, at_ms: int) -> None:
        """Note that the caller has heard everything up to the end of this frame (mark echo)."""
        self._keep(Tape.agent_played, frame_index, at_ms)

    def agent_cleared(self, at_ms: int) -> None:
        """Note that audio not yet played was thrown away (``clear``): it is not in the recording."""
        self._keep(Tape.agent_cleared, at_ms)

    def agent_text(self, at_ms: int, text: str) -> None:
        """Keep a piece of the agent's text, with its own leading space, sent at ``at_ms``."""
        self._keep(Tape.note, "text", at_ms, text)

    def caller_word(self, start_ms: int, end_ms: int, text: str) -> None:
        """Keep a word of the caller; it may be seconds old."""
        self._keep(Tape.note, "word", start_ms, end_ms, text)

    def event(self, kind: str, at_ms: int, detail: str = "") -> None:
        """Note something that happened; ``detail`` holds no words or numbers of the caller."""
        self._keep(Tape.note, "event", kind, at_ms, detail)

    def timing(self, name: str, ms: float) -> None:
        """Keep a figure of this call, e.g. ``endpoint``; of several by one name the row holds the median."""
        self._keep(Tape.note, "timing", name, ms)

    async def finish(
        self, outcome: Outcome, reason: str = "", duration_ms: int | None = None, handoff: Handoff | None = None
    ) -> None:
        """Close the recording, make turns and log the call's end; never raises, harmless twice.

        ``duration_ms`` is media time at the end; the latest time that anything had, if that is later. ``handoff``
        gives the call to a human.
        """
        if self._finished:
            return
        self._finished = True
        _keeper.remove(self)
        made: Future[CallEnd] = Future()
        args = (made, outcome, reason, duration_ms, handoff)
        threading.Thread(target=self._finish, args=args, name=f"recorder-{self.call_id[:8]}", daemon=True).start()
        try:
            end = await asyncio.shield(asyncio.wrap_future(made))
            _ends[self.call_id] = (self._store, self._recordings, end)
            if await _save(self.call_id):
                await save_unsaved(self._store, self._recordings)
                for earlier in list(_ends):
                    if earlier in _ends:
                        await _save(earlier)
            else:
                log.warning("call's end is kept on the disk until the database is back", call_id=self.call_id)
        except OSError as error:
            log.error("call's end waits in memory for room on the disk", call_id=self.call_id, reason=error.strerror)
        except Exception as error:  # a call never fails by its log
            log.error("call's end could not be logged with its turns", call_id=self.call_id, error=type(error).__name__)
            await self._save_bare_end(outcome, reason, duration_ms, handoff)

    async def _save_bare_end(
        self, outcome: Outcome, reason: str, duration_ms: int | None, handoff: Handoff | None
    ) -> None:
        try:
            await self._store.finish(
                self.call_id,
                status="ended",
                outcome=outcome,
                reason=reason,
                duration_ms=duration_ms,
                handoff=handoff,
            )
        except Exception as error:
            log.error("call's end could not be logged at all", call_id=self.call_id, error=type(error).__name__)

    def flush(self) -> None:
        """Put on the disk what has come; blocks. Nothing, once the call is over."""
        with self._keeping:
            if not self._finished:
                self._drain().flush()

    def _keep(self, method: Callable[..., None], *args: object) -> None:
        self._waiting.append((method, args))

    def _keep_audio(self, pcm: Pcm, method: Callable[..., None], *args: object) -> None:
        try:
            if len(self._waiting) >= MOST_WAITING:
                raise OverflowError
            own = np.asarray(pcm, np.int16).ravel()
            if own.flags.writeable:
                own = own.copy()  # the buffer is the caller's
        except (TypeError, ValueError, OverflowError):
            self._unkept += 1
            return
        self._waiting.append((method, (*args, own)))

    def _drain(self) -> Tape:
        tape = self._tape = self._tape or Tape(self.call_id, self._recordings)
        while self._waiting:
            method, args = self._waiting.popleft()
            try:
                method(tape, *args)
            except (TypeError, ValueError, OverflowError) as error:  # one odd value costs itself only
                log.error("recorder was handed what it cannot keep", call_id=self.call_id, error=type(error).__name__)
        return tape

    def _finish(
        self, made: Future[CallEnd], outcome: Outcome, reason: str, duration_ms: int | None, handoff: Handoff | None
    ) -> None:
        try:
            with self._keeping:
                tape = self._drain()
                duration_ms = max(duration_ms or 0, tape.notes.clock_ms)
                self._close(tape, duration_ms)
            reason = " ".join(part for part in (reason, tape.failure) if part)
            with _ONE_END:
                end = make_end(tape.notes, self._recordings, "ended", outcome, reason, duration_ms, handoff)
            made.set_result(end)
        except BaseException as error:
            made.set_exception(error)

    def _close(self, tape: Tape, duration_ms: int) -> None:
        if self._unkept:
            why = f"{self._unkept} packets: the disk did not keep up, or they held no audio"
            tape.note("event", "audio_lost", duration_ms, why)
        tape.close(duration_ms)


class _Keeper:
    """The thread that flushes the calls of a process, one after the other; there is none while there are no calls.

    A thread for each call would wake the processor, from cold, for each of them.
    """

    def __init__(self) -> None:
        self._recorders: list[CallRecorder] = []
        self._lock = threading.Lock()
        self._is_running = False

    def add(self, recorder: CallRecorder) -> None:
        with self._lock:
            self._recorders.append(recorder)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="recorder", daemon=True).start()

    def remove(self, recorder: CallRecorder) -> None:
        with self._lock:
            self._recorders.remove(recorder)

    def _run(self) -> None:
        while recorders := self._current():
            for recorder in recorders:
                try:
                    recorder.flush()
                except Exception as error:  # it may be over by the next time, and the other calls have theirs
                    log.error("call could not be kept", call_id=recorder.call_id, error=type(error).__name__)
            time.sleep(FLUSH_S)

    def _current(self) -> list[CallRecorder]:
        with self._lock:
            self._is_running = bool(self._recorders)
            return list(self._recorders)


_keeper = _Keeper()
_ends: dict[str, tuple[CallStore, Recordings, CallEnd]] = {}
"""Ends that neither the database nor the disk has taken yet: the next call that ends tries them again."""


async def _save(call_id: str) -> bool:
    """Save an end as ``save_end`` does; one that nothing takes stays."""
    store, recordings, end = _ends.pop(call_id)
    try:
        return await save_end(store, recordings, call_id, end)
    except OSError:
        _ends[call_id] = (store, recordings, end)
        raise
