"""Where the call meets its engine: both directions run at once, and neither waits for the other.

8 kHz frame ─┬▶ Upsampler ─▶ session.push      session.frames ─▶ Downsampler ─┬▶ 8 kHz frame, text, heard words
             └▶ Attendant ◀── keys                                  Attendant ◀┘
                    └─▶ while the engine sends nothing: a sentence of ours, or ringing
"""

import asyncio
import time

import structlog
from pipecat.frames.frames import (
    Frame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    StartFrame,
    TranscriptionFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.utils.time import time_now_iso8601

from agent.duplex import FRAME_MS, AgentFrame, DuplexSession, EngineLost, HeardWord
from agent.logs import log_failure
from agent.pipeline.attendant import Attendant
from agent.pipeline.direct import DirectProcessor
from agent.pipeline.ending import CallEnd, Ending
from agent.pipeline.frames import AgentAudio, Media, ResponseTimingFrame
from telephony.audio.framing import CallerAudio
from telephony.audio.resample import Downsampler, Upsampler
from telephony.media import DigitPressed

log = structlog.get_logger(__name__)

TEXT_GAP_FRAMES = 10  # 0.8 s without text end a response, as in pipecat's own full-duplex service
CANCEL_S = 2.0  # an engine that ignores cancellation keeps no call alive
MOST_UNANSWERED_FRAMES = 6_000 // FRAME_MS  # longer than a socket that takes nothing is waited for
MOST_GAP_S = 2 * FRAME_MS / 1000  # the caller's frames come every 80 ms; a longer gap is a stall of ours or the line's


class DuplexProcessor(DirectProcessor):
    """One session in a pipeline. Settles the call's end when the engine is lost or answers no more.

    What the caller says before the engine is ready is not pushed: it would be answered all at once, and the call
    would run late by the whole time until the next pause.
    """

    def __init__(
        self, session: DuplexSession, attendant: Attendant, end: CallEnd, *, ready_timeout_s: float, stall_s: float
    ) -> None:
        super().__init__()
        self._session = session
        self._attendant = attendant
        self._end = end
        self._ready_timeout_s = ready_timeout_s
        self._stall_s = stall_s or float("inf")
        self._up = Upsampler()
        self._down = Downsampler()
        self._speaking: asyncio.Task[None] | None = None
        self._ready = False
        self._began_ms: int | None = None
        self._pushed_frames = self._answered_frames = self._said_frames = 0
        self._waited_s = self._heard_at = 0.0
        self._frames_since_text: int | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._speaking = self.create_task(self._speak(), "speak")

    def take(self, media: Media) -> None:
        if isinstance(media, CallerAudio):
            self._hear(media)
        elif isinstance(media, DigitPressed):
            self._attendant.key(media.digit)
        else:
            self.hand_on(media)

    async def cleanup(self) -> None:
        await super().cleanup()
        self._attendant.close()
        if self._speaking is not None:
            await self.cancel_task(self._speaking, CANCEL_S)
            self._speaking = None

    def _hear(self, frame: CallerAudio) -> None:
        audio = self._up.process(frame.pcm)
        if self._ready:
            if self._began_ms is None:
                self._began_ms = frame.at_ms
            self._session.push(audio)
            self._pushed_frames += 1
            self._attendant.heard(frame.pcm)
        self._count_wait()
        if self._waited_s and (said := self._attendant.waited(self._waited_s)):
            self._send(said)
            self.create_task(self._tell(said.text), "tell")

    def _count_wait(self) -> None:
        """Give the engine up when it is silent: by the time between frames, for those of a stall come all at once."""
        now = time.monotonic()
        unanswered = self._pushed_frames - self._answered_frames
        if unanswered > 1 or not self._ready:
            self._waited_s += min(now - self._heard_at, MOST_GAP_S)
        self._heard_at = now
        if self._ready and (self._waited_s > self._stall_s or unanswered > MOST_UNANSWERED_FRAMES):
            self._lost(f"The engine answered no frame for {self._waited_s:.1f} seconds.")

    async def _speak(self) -> None:
        try:
            await self._take_in_prompt()
            async for frame in self._session.frames():
                self._answered_frames = frame.index + 1  # those that an engine has dropped are answered too
                self._waited_s = 0.0
                await self._say(frame)
            self._lost("The engine ended the session.")
        except EngineLost as error:
            self._lost(str(error))
        except Exception as error:  # whatever it was, the caller must not be left in silence
            log_failure(log, "engine failed", error)
            self._lost(f"The engine failed ({type(error).__name__}).")

    async def _take_in_prompt(self) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._ready_timeout_s):
                await self._session.ready()
        except TimeoutError:
            limit = f"{self._ready_timeout_s:g} seconds"
            raise EngineLost(f"The engine did not take in the role prompt within {limit}.") from None
        self._ready = True
        self._waited_s = 0.0  # from now on it is for frames
        await self.push_frame(ResponseTimingFrame({"prompt_ready_ms": (time.monotonic() - started) * 1000}))

    def _lost(self, reason: str) -> None:
        self._end.settle(self._attendant.last_words or Ending("engine_lost", reason))

    async def _say(self, frame: AgentFrame) -> None:
        said = self._attendant.said(frame, self._down.process(frame.audio))
        self._send(said)
        if frame.timings:
            await self.push_frame(ResponseTimingFrame(frame.timings))
        if frame.heard:
            await self._transcribe(frame.heard)
        if said.text or self._frames_since_text is not None:
            await self._tell(said.text)

    def _send(self, said: AgentAudio) -> None:
        said.index = self._said_frames
        self._said_frames += 1
        self.hand_on(said)

    async def _transcribe(self, heard: tuple[HeardWord, ...]) -> None:
        """Send the caller's words upstream, in media time: that of the session, which began some frames later."""
        began_ms = self._began_ms or 0
        words = tuple(HeardWord(word.text, word.start_ms + began_ms, word.end_ms + began_ms) for word in heard)
        text = " ".join(word.text for word in words)
        frame = TranscriptionFrame(text, "", time_now_iso8601(), result=words)
        await self.push_frame(frame, FrameDirection.UPSTREAM)

    async def _tell(self, text: str) -> None:
        """Send the agent's text as pipecat's aggregators want it: in responses, and written to a context once."""
        if not text:
            await self._count_gap()
            return
        if self._frames_since_text is None:
            await self.push_frame(LLMFullResponseStartFrame())
            await self.push_frame(TTSStartedFrame())
        self._frames_since_text = 0
        thought = LLMTextFrame(text)
        thought.append_to_context = False
        await self.push_frame(thought)
        spoken = TTSTextFrame(text, TextType.WORD)
        spoken.includes_inter_frame_spaces = True
        await self.push_frame(spoken)

    async def _count_gap(self) -> None:
        if self._frames_since_text is None:
            return
        self._frames_since_text += 1
        if self._frames_since_text >= TEXT_GAP_FRAMES:
            self._frames_since_text = None
            await self.push_frame(TTSStoppedFrame())
            await self.push_frame(LLMFullResponseEndFrame())
