"""The carrier's messages ↔ pipeline frames: four packets make one frame, one frame makes a media message and a mark."""

import numpy as np
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import Frame, InputDTMFFrame

from agent.pipeline.frames import AgentAudioFrame, CallerAudioFrame, FramePlayedFrame
from telephony.audio import g711
from telephony.audio.framing import FrameAssembler, LineCounters
from telephony.media import (
    AudioPacket,
    DigitPressed,
    MarkPlayed,
    MediaEvent,
    MediaProtocol,
    StreamStopped,
    WireFormat,
)


class MediaSerializer:
    """One socket's conversation with the pipeline. Nothing that arrives makes it raise.

    640 bytes in one message cost a quarter of four messages on either side, and carriers take any multiple of 160.
    """

    def __init__(self, protocol: MediaProtocol, wire: WireFormat) -> None:
        """Raises ValueError for audio other than 8 kHz µ-law."""
        self._protocol = protocol
        self._assembler = FrameAssembler(wire)

    @property
    def line(self) -> LineCounters:
        """What the line did to the caller's audio."""
        return self._assembler.counters

    def receive(self, message: str | bytes) -> list[Frame] | None:
        """Return the pipeline frames that a message makes; None when it ends the stream."""
        event = self._protocol.receive(message)
        return None if isinstance(event, StreamStopped) else self._frames(event)

    def _frames(self, event: MediaEvent | None) -> list[Frame]:
        match event:
            case AudioPacket():
                frames = self._assembler.push(event)
                return [CallerAudioFrame(audio=frame.pcm.tobytes(), at_ms=frame.at_ms) for frame in frames]
            case MarkPlayed(name) if name.isascii() and name.isdigit() and len(name) < 10:
                return [FramePlayedFrame(index=int(name))]
            case DigitPressed(digit) if digit not in "ABCD":
                return [InputDTMFFrame(button=KeypadEntry(digit))]
        return []

    def send(self, frame: AgentAudioFrame) -> tuple[str, str]:
        """Return the messages that play a frame and ask when it has been played."""
        payload = g711.encode(np.frombuffer(frame.audio, dtype=np.int16))
        return self._protocol.audio(payload), self._protocol.mark(str(frame.index))
