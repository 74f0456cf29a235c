"""What a simulated call brought back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Spurt:
    """A run of the agent's speech as heard, in milliseconds of media time."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class SpokenLine:
    """Something the caller said. ``kind`` is "say", "interrupt", "backchannel" or "audio".

    ``onset_ms`` is from its end to the agent's next speech, None where none came; ``stop_ms`` is, for an
    interruption, from its beginning until the agent was heard no more.
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
class CallResult:
    """One simulated call. ``said`` and ``heard`` are [N] int16 at 8 kHz, aligned sample by sample.

    ``steps`` are the instructions followed, in order, e.g. ``("Connect", "Redirect", "Hangup")``; ``ended_by`` is
    "caller", "agent" or "refused".
    """

    call_id: str
    stream_id: str
    ended_by: str
    duration_ms: int
    lines: tuple[SpokenLine, ...]
    agent_spurts: tuple[Spurt, ...]
    steps: tuple[str, ...]
    errors: tuple[PhoneError, ...]
    said: NDArray[np.int16]
    heard: NDArray[np.int16]

    def save(self, path: Path) -> None:
        """Write both tracks as a WAV: caller left, agent right, 16 bits at 8 kHz."""
        raise NotImplementedError
