"""What passes through a call's pipeline: its media by the short way, and what we add to pipecat's own frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import DataFrame

from agent.pipeline.ending import Ending
from telephony.audio.framing import CallerAudio
from telephony.media import DigitPressed

PHONE_HZ = 8_000


@dataclass(slots=True)
class AgentAudio:
    """80 ms of the agent, [640] int16 at 8 kHz, and the words that begin in it. ``ends`` is what follows once it was
    heard. ``index`` counts what was said, ``at_ms`` is media time when it was sent.

    Where it ``rings`` it is a tone of ours, which is nobody's speech; like silence, it may be left out.
    """

    pcm: NDArray[np.int16]
    text: str = ""
    silent: bool = False
    ends: Ending | None = None
    rings: bool = False
    index: int = 0
    at_ms: int = 0


@dataclass(slots=True)
class AudioPlayed:
    """The caller has heard everything up to the end of the agent's frame ``index``."""

    index: int


Media = CallerAudio | AgentAudio | AudioPlayed | DigitPressed


@dataclass
class ResponseTimingFrame(DataFrame):
    """The parts of a response's delay, in milliseconds by name."""

    parts_ms: Mapping[str, float] = field(default_factory=dict)
