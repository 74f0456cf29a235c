"""The pipeline frames that are ours: pipecat's own, with the time and place in the call that we need to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipecat.frames.frames import DataFrame, InputAudioRawFrame, SpeechOutputAudioRawFrame, SystemFrame

from agent.pipeline.ending import Ending

PHONE_HZ = 8_000


@dataclass
class CallerAudioFrame(InputAudioRawFrame):
    """80 ms of the caller, 8 kHz; ``at_ms`` is media time of its first sample."""

    sample_rate: int = PHONE_HZ
    num_channels: int = 1
    at_ms: int = 0


@dataclass
class AgentAudioFrame(SpeechOutputAudioRawFrame):
    """80 ms of the agent, 8 kHz; ``index`` counts them. ``ends`` is what follows once it was heard.

    Where it ``rings`` it is a tone of ours, which is nobody's speech; like silence, it may be left out.
    """

    sample_rate: int = PHONE_HZ
    num_channels: int = 1
    index: int = 0
    silent: bool = False
    ends: Ending | None = None
    rings: bool = False
    at_ms: int = 0


@dataclass
class FramePlayedFrame(SystemFrame):
    """The caller has heard everything up to the end of the agent's frame ``index``."""

    index: int = 0


@dataclass
class ResponseTimingFrame(DataFrame):
    """The parts of a response's delay, in milliseconds by name."""

    parts_ms: Mapping[str, float] = field(default_factory=dict)
