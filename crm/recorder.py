"""Keeps one call: both tracks, words, events and timings, without ever delaying or failing the call.

event loop ── deque ──▶ thread, once a second: Tape ──▶ recording, journal
finish ──▶ thread: turns and figures ──▶ one transaction, or a file for a later start
"""

import asyncio
import threading
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


class CallRecorder:
    """The tap of one call. All times are media time: milliseconds since the stream began.

    Methods never block the event loop and never raise into the call; what goes wrong becomes an
    event of the call. ``recordings`` is ``Recordings(data_dir / "recordings")``, one a process.
    """

    def __init__(self, call_id: str, store: CallStore, recordings: Recordings) -> None:
        self.call_id = call_id
        self._store = store
        self._recordings = recordings
        self._waiting: deque[Callable[[Tape], None]] = deque()
        self._unkept = 0  # packets that a hanging disk left no room for
        self._over = threading.Event()
        self._how: tuple[Outcome, str, int | None, Handoff | None] = ("", "", None, None)
        self._end: Future[CallEnd] = Future()
        self._finished = False
        threading.Thread(target=self._run, name=f"recorder-{call_id[:8]}", daemon=True).start()

    def caller_audio(self, at_ms: int, pcm: Pcm) -> None:
        """Keep caller's audio, [N] int16 at 8 kHz, that was spoken at ``at_ms``."""
        self._keep_audio(pcm, lambda tape, pcm: tape.caller_audio(int(at_ms), pcm))

    def agent_audio(self, frame_index: int, at_ms: int, pcm: Pcm) -> None:
        """Keep agent's audio, [N] int16 at 8 kHz, sent at ``at_ms``; it is placed where it plays."""
        self._keep_audio(pcm, lambda tape, pcm: tape.agent_audio(frame_index, int(at_ms), pcm))

    def agent_played(self, frame_index: int, at_ms: int) -> None:
        """Note that the caller has heard everything up to the end of this frame (mark echo)."""
        self._waiting.append(lambda tape: tape.agent_played(frame_index, int(at_ms)))

    def agent_cleared(self, at_ms: int) -> None:
        """Note that audio not yet played was thrown away (``clear``): it is not in the recording."""
        self._waiting.append(lambda tape: tape.agent_cleared(int(at_ms)))

    def agent_text(self, at_ms: int, text: str) -> None:
        """Keep a piece of the agent's text, with its own leading space, sent at ``at_ms``."""
        self._waiting.append(lambda tape: tape.note("text", int(at_ms), text))

    def caller_word(self, start_ms: int, end_ms: int, text: str) -> None:
        """Keep a word of the caller; it may be seconds old."""
        self._waiting.append(lambda tape: tape.note("word", int(start_ms), int(end_ms), text))

    def event(self, kind: str, at_ms: int, detail: str = "") -> None:
        """Note something that happened; ``detail`` holds no words or numbers of the caller."""
        self._waiting.append(lambda tape: tape.note("event", kind, int(at_ms), detail))

    def timing(self, name: str, ms: float) -> None:
        """Keep a figure of this call, e.g. ``endpoint``; of several by one name the row holds the median."""
        self._waiting.append(lambda tape: tape.note("timing", name, float(ms)))

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
        self._how = (outcome, reason, duration_ms, handoff)
        self._over.set()
        try:
            end = await asyncio.shield(asyncio.wrap_future(self._end))
            if await save_end(self._store, self._recordings, self.call_id, end):
                await save_unsaved(self._store, self._recordings)
            else:
                log.warning("call's end is kept on the disk until the database is back", call_id=self.call_id)
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

    def _keep_audio(self, pcm: Pcm, work: Callable[[Tape, Pcm], None]) -> None:
        try:
            if len(self._waiting) >= MOST_WAITING:
                raise OverflowError
            own = np.asarray(pcm, np.int16).ravel()
            if own.flags.writeable:
                own = own.copy()  # the buffer is the caller's
        except (TypeError, ValueError, OverflowError):
            self._unkept += 1
            return
        self._waiting.append(lambda tape: work(tape, own))

    def _run(self) -> None:
        try:
            self._end.set_result(self._keep_until_over())
        except BaseException as error:
            self._end.set_exception(error)

    def _keep_until_over(self) -> CallEnd:
        tape = Tape(self.call_id, self._recordings)
        is_over = False
        while not is_over:
            is_over = self._over.wait(FLUSH_S)
            self._drain(tape)
            tape.flush()
        outcome, reason, duration_ms, handoff = self._how
        duration_ms = max(duration_ms or 0, tape.notes.clock_ms)
        if self._unkept:
            tape.note(
                "event",
                "audio_lost",
                duration_ms,
                f"{self._unkept} packets: the disk did not keep up, or they held no audio",
            )
        tape.close(duration_ms)
        reason = " ".join(part for part in (reason, tape.failure) if part)
        with _ONE_END:
            return make_end(tape.notes, self._recordings, "ended", outcome, reason, duration_ms, handoff)

    def _drain(self, tape: Tape) -> None:
        while self._waiting:
            work = self._waiting.popleft()
            try:
                work(tape)
            except (TypeError, ValueError, OverflowError) as error:  # one odd value costs itself only
                log.error("recorder was handed what it cannot keep", call_id=self.call_id, error=type(error).__name__)
