"""What passes by is recorded and shown; frames are handed on first, so a tap never delays the call."""

from pipecat.frames.frames import Frame, TranscriptionFrame, TTSTextFrame
from pipecat.processors.frame_processor import FrameDirection

from agent.live import LiveCalls, Spoke
from agent.pipeline.clock import MediaClock
from agent.pipeline.direct import DirectProcessor
from agent.pipeline.frames import AgentAudio, AudioPlayed, Media, ResponseTimingFrame
from crm.recorder import CallRecorder
from telephony.audio.framing import CallerAudio
from telephony.media import DigitPressed


class Tap(DirectProcessor):
    """Copies one direction to the call's recorder and the live view, stamped by media time."""

    def __init__(self, recorder: CallRecorder, live: LiveCalls, clock: MediaClock) -> None:
        super().__init__()
        self._recorder = recorder
        self._live = live
        self._clock = clock

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self._note(frame)

    def _note(self, frame: Frame) -> None:
        raise NotImplementedError

    def _spoke(self, spoke: Spoke) -> None:
        self._live.publish(self._recorder.call_id, spoke)


class CallerTap(Tap):
    """Behind the input: the caller's audio on its way down, and its words, heard later, on their way up."""

    def take(self, media: Media) -> None:
        self.hand_on(media)
        if isinstance(media, CallerAudio):
            self._recorder.caller_audio(media.at_ms, media.pcm)
        elif isinstance(media, DigitPressed):
            # Not which key: callers type card numbers.
            self._recorder.event("digit", self._clock.now_ms())

    def _note(self, frame: Frame) -> None:
        if isinstance(frame, TranscriptionFrame):
            for word in frame.result or ():
                self._recorder.caller_word(word.start_ms, word.end_ms, word.text)
                self._spoke(Spoke("caller", word.start_ms, word.text))


class AgentTap(Tap):
    """Behind the output: what was sent, what was heard of it, and the agent's text."""

    def take(self, media: Media) -> None:
        self.hand_on(media)
        if isinstance(media, AgentAudio):
            self._recorder.agent_audio(media.index, media.at_ms, media.pcm)
        elif isinstance(media, AudioPlayed):
            self._recorder.agent_played(media.index, self._clock.now_ms())

    def _note(self, frame: Frame) -> None:
        if isinstance(frame, TTSTextFrame):
            at_ms = self._clock.now_ms()
            self._recorder.agent_text(at_ms, frame.text)
            self._spoke(Spoke("agent", at_ms, frame.text))
        elif isinstance(frame, ResponseTimingFrame):
            for name, ms in frame.parts_ms.items():
                self._recorder.timing(name, ms)
