"""Where the agent's audio was heard: frames as they were sent, moved to when the carrier played them.

    sent at s ─▶ plan p = max(end of the frame before, s) ─▶ heard at p + delay
                                        mark echoes at e  ─▶ delay = e - end of p

The carrier plays in order and without gaps, so within a run of speech the delay is one number; single
echoes are late by network jitter. It is the median of the echoes around a frame, and changes inside a
run only where it is clearly another (the carrier's buffer ran empty).
"""

from collections import deque
from dataclasses import dataclass
from statistics import median

import numpy as np

from crm.tracks import SAMPLES_PER_MS, Pcm

NEIGHBOURS = 4  # echoes on either side of a frame that tell its delay
HOLD_MS = 1_500  # a frame without echo is placed after this
TOLERANCE_MS = 25  # a change of delay that is not worth a click in the middle of speech


@dataclass(slots=True)
class _Sent:
    index: int
    sent_ms: int
    plan_ms: float
    length_ms: float
    pcm: Pcm
    is_silent: bool
    starts_run: bool
    delay_ms: float | None = None  # by its own echo


@dataclass(frozen=True, slots=True)
class Placed:
    """A frame's place: ``pcm`` was heard from ``at_ms`` on (empty: never); it was sent at ``sent_ms``."""

    sent_ms: int
    at_ms: float
    pcm: Pcm


class Playout:
    """Places one call's frames, in the order they were sent."""

    def __init__(self) -> None:
        self._waiting: deque[_Sent] = deque()
        self._past: deque[float] = deque(maxlen=NEIGHBOURS)  # delays of the frames placed last
        self._plan_end_ms = 0.0
        self._heard_end_ms = 0.0  # end of the last speech that was placed
        self._delay_ms = 0.0
        self._was_silent = True

    def sent(self, index: int, at_ms: int, pcm: Pcm) -> None:
        """Take a frame, [N] int16 at 8 kHz, that was sent at ``at_ms``; ``index`` grows by frame."""
        if not len(pcm):
            return
        plan_ms = max(self._plan_end_ms, float(at_ms))
        starts_run = plan_ms > self._plan_end_ms
        length_ms = len(pcm) / SAMPLES_PER_MS
        self._plan_end_ms = plan_ms + length_ms
        self._waiting.append(_Sent(index, at_ms, plan_ms, length_ms, pcm, not pcm.any(), starts_run))

    def played(self, index: int, at_ms: int) -> None:
        """Note that frame ``index`` was heard to its end by ``at_ms``; echoes of unknown frames are ignored."""
        for frame in self._waiting:
            if frame.index == index:
                frame.delay_ms = at_ms - frame.plan_ms - frame.length_ms
                return

    def cleared(self, at_ms: int) -> list[Placed]:
        """Place what was heard by ``at_ms`` of the frames that wait; the rest was thrown away."""
        placed = [_cut(frame, at_ms) for frame in self.settle(at_ms, last=True)]
        self._plan_end_ms = min(self._plan_end_ms, float(at_ms))
        self._heard_end_ms = min(self._heard_end_ms, float(at_ms))
        return placed

    def settle(self, now_ms: float, *, last: bool = False) -> list[Placed]:
        """Place the frames whose time is known by now, all of them if ``last``."""
        placed = []
        while self._waiting:
            frame = self._waiting[0]
            ahead, is_known = self._echoes_ahead()
            is_old = now_ms - (frame.plan_ms + frame.length_ms) > HOLD_MS + max(0.0, self._delay_ms)
            if not (is_known or is_old or last):
                break
            placed.append(self._place(self._waiting.popleft(), ahead))
        return placed

    def _echoes_ahead(self) -> tuple[list[float], bool]:
        """Return the next delays in the first frame's run, and whether no more are to be waited for."""
        delays: list[float] = []
        run_over = False
        for position, frame in enumerate(self._waiting):
            run_over = run_over or (position > 0 and frame.starts_run)
            if frame.delay_ms is None:
                continue
            if run_over:
                return delays, True
            delays.append(frame.delay_ms)
            if len(delays) > NEIGHBOURS:
                return delays, True
        return delays, False

    def _place(self, frame: _Sent, ahead: list[float]) -> Placed:
        if frame.starts_run:
            self._past.clear()
        near = [*self._past, *ahead]
        estimate = median(near) if near else self._delay_ms
        if frame.starts_run or frame.is_silent or self._was_silent or abs(estimate - self._delay_ms) > TOLERANCE_MS:
            self._delay_ms = estimate
        if frame.delay_ms is not None:
            self._past.append(frame.delay_ms)
        self._was_silent = frame.is_silent
        at_ms = max(0.0, frame.plan_ms + self._delay_ms)
        if not frame.is_silent:
            at_ms = max(at_ms, self._heard_end_ms)
            self._heard_end_ms = at_ms + frame.length_ms
        return Placed(frame.sent_ms, at_ms, frame.pcm)


def _cut(frame: Placed, at_ms: int) -> Placed:
    keep = max(0, round((at_ms - frame.at_ms) * SAMPLES_PER_MS))
    return Placed(frame.sent_ms, frame.at_ms, np.asarray(frame.pcm[:keep]))
