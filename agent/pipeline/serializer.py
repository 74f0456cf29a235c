"""The carrier's messages ↔ media: four packets make one frame, one frame makes a media message and a mark."""

from collections.abc import Sequence

from agent.pipeline.frames import AgentAudio, AudioPlayed, Media
from telephony.audio import g711
from telephony.audio.framing import FrameAssembler, LineCounters
from telephony.media import (
    AudioPacket,
    DigitPressed,
    MarkPlayed,
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
        self._packet_chars = 0

    @property
    def line(self) -> LineCounters:
        """What the line did to the caller's audio."""
        return self._assembler.counters

    def receive(self, message: str | bytes) -> Sequence[Media] | None:
        """Return the media that a message makes; None when it ends the stream."""
        event = self._protocol.receive(message)
        if isinstance(event, AudioPacket):
            self._packet_chars = len(message)
            return self._assembler.push(event)
        match event:
            case MarkPlayed(name) if name.isascii() and name.isdigit() and len(name) < 10:
                return (AudioPlayed(int(name)),)
            case DigitPressed():
                return (event,)
            case StreamStopped():
                return None
        return ()

    def holds(self) -> tuple[int, int]:
        """Return the length of the messages that make the next frame, and how many it takes."""
        return self._packet_chars, self._assembler.missing_packets

    def send(self, media: AgentAudio) -> tuple[str, str]:
        """Return the messages that play a frame and ask when it has been played."""
        payload = g711.encode(media.pcm)
        return self._protocol.audio(payload), self._protocol.mark(str(media.index))
