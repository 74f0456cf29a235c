"""What a simulated call brought back."""

import wave
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from telephony.media import PHONE

_EARLY_MS = 200  # an answer may begin this long before the caller's last sound has died away


@dataclass(frozen=True, slots=True)
class Spurt:
    """A run of the agent's speech as heard, in milliseconds of the call's media streams, one after another."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class SpokenLine:
    """Something the caller said. ``kind`` is "say", "interrupt", "backchannel" or "audio".

    ``onset_ms`` is from its end to the agent's next speech, None where none came before the caller's next line (and
    for backchannels); ``stop_ms`` is, for an interruption, from its beginning until the agent was heard no more.
    """

    text: str
    kind: str
    start_ms: int
    end_ms: int
    onset_ms: int | None = None
    stop_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PhoneError:
    """Something the other side did wrong; ``code`` is Twilio's error code, 0 where it has none."""

    code: int
    text: str
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class StreamResult:
    """One media stream. ``said`` and ``heard`` are [N] int16 at 8 kHz, aligned sample by sample.

    ``begin_ms`` is the age of the call when it began. ``backlog_ms`` is the most that ever waited to be played,
    ``lateness_ms`` how late this phone's own clock ever was: figures of a phone that could not keep up prove nothing
    about the server.
    """

    stream_id: str
    ended_by: str
    duration_ms: int
    said: NDArray[np.int16]
    heard: NDArray[np.int16]
    errors: tuple[PhoneError, ...] = ()
    marks: int = 0
    clears: int = 0
    backlog_ms: int = 0
    lateness_ms: int = 0
    begin_ms: int = 0


@dataclass(frozen=True, slots=True)
class HumanLeg:
    """A human who was called: ``status`` is Twilio's of that call, ``heard`` what the line said to them."""

    to: str
    caller_id: str
    status: str
    heard: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallResult:
    """One simulated call. Its clock runs while the caller talks, waits, or hears it ring.

    ``steps`` are the instructions followed, in order, e.g. ``("Connect", "Redirect", "Hangup")``; ``sentences`` is
    what the carrier's own voice said; ``ended_by`` is "caller" or "agent"; ``streams`` is usually one. The times of
    ``lines`` and ``agent_spurts`` are those of ``said`` and ``heard``, silent between streams. ``humans`` are the legs
    that were made to humans; ``message`` is what was recorded of the caller, [N] int16 at 8 kHz.
    """

    call_id: str
    ended_by: str
    steps: tuple[str, ...]
    sentences: tuple[str, ...]
    errors: tuple[PhoneError, ...]
    lines: tuple[SpokenLine, ...]
    agent_spurts: tuple[Spurt, ...]
    streams: tuple[StreamResult, ...]
    humans: tuple[HumanLeg, ...] = ()
    message: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))

    @property
    def stream_id(self) -> str:
        return self.streams[0].stream_id if self.streams else ""

    @property
    def duration_ms(self) -> int:
        """How long media streams were open, together."""
        return sum(stream.duration_ms for stream in self.streams)

    @property
    def said(self) -> NDArray[np.int16]:
        """What the caller said, [N] int16 at 8 kHz."""
        return self._placed([(stream.begin_ms, stream.said) for stream in self.streams])

    @property
    def heard(self) -> NDArray[np.int16]:
        """What the caller heard, [N] int16 at 8 kHz, aligned with ``said``."""
        return self._placed([(stream.begin_ms, stream.heard) for stream in self.streams])

    @staticmethod
    def _placed(pieces: Sequence[tuple[int, NDArray[np.int16]]]) -> NDArray[np.int16]:
        placed = np.zeros(0, np.int16)
        for begin_ms, pcm in pieces:
            gap = begin_ms * PHONE.sample_hz // 1000 - placed.size
            placed = np.concatenate((placed, np.zeros(max(0, gap), np.int16), pcm))
        return placed

    def save(self, path: Path) -> None:
        """Write both tracks as a WAV: caller left, agent right, 16 bits at 8 kHz."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(PHONE.sample_hz)
            file.writeframes(np.stack((self.said, self.heard), axis=1).astype("<i2").tobytes())


def with_delays(lines: Sequence[SpokenLine], spurts: Sequence[Spurt]) -> tuple[SpokenLine, ...]:
    """Return the lines with ``onset_ms`` and ``stop_ms`` filled in from what was heard of the agent."""
    return tuple(_with_delays(line, _next_turn_ms(lines[index + 1 :]), spurts) for index, line in enumerate(lines))


def _next_turn_ms(later: Sequence[SpokenLine]) -> float:
    return next((line.start_ms for line in later if line.kind != "backchannel"), float("inf"))


def _with_delays(line: SpokenLine, until_ms: float, spurts: Sequence[Spurt]) -> SpokenLine:
    if line.kind == "backchannel":
        return line
    onset_ms = next(
        (s.start_ms - line.end_ms for s in spurts if line.end_ms - _EARLY_MS <= s.start_ms < until_ms), None
    )
    stop_ms = None
    if line.kind == "interrupt":
        cut = next((s for s in spurts if s.start_ms <= line.start_ms <= s.end_ms), None)
        stop_ms = cut.end_ms - line.start_ms if cut else None
    return replace(line, onset_ms=onset_ms, stop_ms=stop_ms)
