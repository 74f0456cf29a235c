"""The device's one thread: ticks of the calls that have a frame, and between them, prompts chunk by chunk.

    push ─▶ Call.waiting ──┐                       ┌─▶ deliver ─▶ each session's frames
    open ─▶ prompts ───────┴─ one thread, one device ┘

A call whose audio is late or gone does not take part in a tick, and nobody waits for it longer than ``GATHER_S``.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np
import structlog

from agent.duplex import FRAME_MS, AgentFrame, DuplexError, EngineUnavailable, Samples
from agent.engines.personaplex.text import TextTable
from agent.engines.personaplex.ticker import SILENCE_PEAK, Prepared, Ticker

GATHER_S = 0.02
"""How long a frame may wait for those of other calls: fewer, fuller ticks, 20 ms of delay at most."""

BACKLOG_FRAMES = 25
"""Beyond 2 s that wait, silent frames are dropped …"""

MOST_BACKLOG_FRAMES = 125
"""… and beyond 10 s the oldest, whatever they hold."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Counters:
    """What the loop has done since it started; ``tick_s`` are the latest ticks' durations."""

    ticks: int = 0
    frames: int = 0
    late_frames: int = 0
    shed_frames: int = 0
    prompts: int = 0
    anchors: int = 0
    lost_calls: int = 0
    tick_s: deque[float] = field(default_factory=lambda: deque(maxlen=4096))
    prompt_s: deque[float] = field(default_factory=lambda: deque(maxlen=1024))


@dataclass(slots=True)
class _Waiting:
    index: int
    samples: Samples
    is_silent: bool
    pushed_at: float


@dataclass(eq=False, slots=True)
class Call:
    """One slot's call. All but ``role`` belongs to the loop, under its lock."""

    slot: int
    role: Prepared
    opened_at: float
    deliver: Callable[[AgentFrame], None]
    """Called in the loop's thread."""
    report: Callable[[Exception | None], None]
    """Called in the loop's thread: None when the prompt is in, an error when the call is lost."""
    waiting: deque[_Waiting] = field(default_factory=deque)
    pushed: int = 0
    ready: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Job:
    """Work for one call between ticks; ``done`` is called when its chunks end."""

    call: Call
    chunks: Generator[None, None, None]
    done: Callable[[Call], None]
    is_urgent: bool = False


class Loop:
    """Runs one Ticker for ``slots`` calls."""

    def __init__(self, ticker: Ticker, text: TextTable) -> None:
        self._ticker = ticker
        self._text = text
        self._calls: dict[int, Call] = {}
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self.failure = ""
        self.counters = Counters()
        self._thread = threading.Thread(target=self._run, name="personaplex", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when the tick in progress is over."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    @property
    def used(self) -> int:
        return len(self._calls)

    def free_slot(self) -> int | None:
        return next((slot for slot in range(self._ticker.slots) if slot not in self._calls), None)

    def add(self, call: Call) -> None:
        """Take a call into its free slot and start its role prompt.

        Raises:
            EngineUnavailable: the device has failed.
        """
        with self._wake:
            if self.failure:
                raise EngineUnavailable(self.failure)
            self._calls[call.slot] = call
            self._jobs.append(_Job(call, self._ticker.take_in(call.slot, call.role), self._prompt_is_in))
            self._wake.notify()

    def remove(self, call: Call) -> None:
        """Free a call's slot at once: the next call in it is set up by the same thread, after this one's last tick."""
        with self._wake:
            call.closed = True
            call.waiting.clear()
            if self._calls.get(call.slot) is call:
                del self._calls[call.slot]
            self._wake.notify()

    def push(self, call: Call, samples: Samples) -> None:
        is_silent = bool(np.abs(samples).max() < SILENCE_PEAK)
        with self._wake:
            call.waiting.append(_Waiting(call.pushed, samples, is_silent, time.monotonic()))
            call.pushed += 1
            if len(call.waiting) > BACKLOG_FRAMES:
                self._shed(call)
            self._wake.notify()

    def _shed(self, call: Call) -> None:
        waiting = call.waiting
        silent = next((n for n, frame in enumerate(waiting) if frame.is_silent), None)
        if silent is not None:
            del waiting[silent]
        elif len(waiting) > MOST_BACKLOG_FRAMES:
            waiting.popleft()
        else:
            return
        self.counters.shed_frames += 1

    def _lose(self, job: _Job, error: Exception) -> None:
        """A call's prompt or anchor failed; what the device itself has failed in, the empty tick fails in as well."""
        unforeseen = None if isinstance(error, DuplexError) else error
        log.warning("call lost", job="anchor" if job.is_urgent else "prompt", exc_info=unforeseen)
        self.counters.lost_calls += 1
        job.call.report(error)
        if unforeseen:
            self._ticker.tick({})

    # The thread

    def _run(self) -> None:
        with self._ticker.on_device():
            self._work()

    def _work(self) -> None:
        while True:
            with self._wake:
                batch = self._next_batch()
                if self._stopping:
                    return
            try:
                if batch:
                    self._tick(batch)
                self._advance_job()
            except Exception as error:
                self._fail(error)
                return

    def _next_batch(self) -> dict[int, tuple[Call, _Waiting]]:
        """Wait until there is something to do; return the frames of the next tick by slot, none if none is due."""
        while not self._stopping:
            ready = [call for call in self._calls.values() if call.ready]
            full = [call for call in ready if call.waiting]
            if full:
                due = min(call.waiting[0].pushed_at for call in full) + GATHER_S
                left = due - time.monotonic()
                if len(full) == len(ready) or left <= 0:
                    return {call.slot: (call, call.waiting.popleft()) for call in full}
            else:
                left = None
            if self._jobs:
                break
            self._wake.wait(left)
        return {}

    def _tick(self, batch: dict[int, tuple[Call, _Waiting]]) -> None:
        started = time.monotonic()
        said = self._ticker.tick({slot: frame.samples for slot, (_, frame) in batch.items()})
        now = time.monotonic()
        counters = self.counters
        counters.ticks += 1
        counters.tick_s.append(now - started)
        for slot, (call, frame) in batch.items():
            samples, token = said[slot]
            counters.frames += 1
            counters.late_frames += now - frame.pushed_at > FRAME_MS / 1000
            if not call.closed:
                call.deliver(AgentFrame(index=frame.index, audio=samples, text=self._text.piece(token)))

        self._start_anchor(batch)

    def _start_anchor(self, batch: dict[int, tuple[Call, _Waiting]]) -> None:
        """Begin to re-anchor a slot that is due, before any prompt: its ring fills up meanwhile."""
        slot = self._ticker.due_anchor(batch)
        with self._wake:
            if slot is not None and not any(job.is_urgent for job in self._jobs):
                self._jobs.appendleft(_Job(batch[slot][0], self._ticker.anchor(slot), self._anchored, is_urgent=True))

    def _advance_job(self) -> None:
        """Do one chunk of the job that has waited longest."""
        with self._wake:
            while self._jobs and self._jobs[0].call.closed:  # a turn is a tick's wait where calls keep the device busy
                self._jobs.popleft()
            if not self._jobs:
                return
            job = self._jobs.popleft()
        try:
            next(job.chunks)
        except StopIteration:
            job.done(job.call)
        except Exception as error:
            self._lose(job, error)
        else:
            with self._wake:
                self._jobs.appendleft(job) if job.is_urgent else self._jobs.append(job)

    def _anchored(self, call: Call) -> None:
        self.counters.anchors += 1

    def _prompt_is_in(self, call: Call) -> None:
        now = time.monotonic()
        with self._wake:
            self.counters.prompts += 1
            self.counters.prompt_s.append(now - call.opened_at)
            call.ready = True
            for frame in call.waiting:
                frame.pushed_at = max(frame.pushed_at, now)  # audio that came early is not late
        call.report(None)

    def _fail(self, error: Exception) -> None:
        """A tick failed: the device's state is in doubt, so every call is lost and no new one is taken."""
        log.error("device failed", error=type(error).__name__, exc_info=error)
        with self._wake:
            self.failure = f"The device failed ({type(error).__name__}); restart the engine."
            calls = list(self._calls.values())
            self.counters.lost_calls += len(calls)
        for call in calls:
            call.report(error)
