"""The two ends of the pipeline at the media socket. Nothing here paces: audio goes out as it comes.

pipecat's own transport paces by the wall clock and never makes lateness up, and hangs up by itself; a real-time
source needs neither.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from pipecat.frames.frames import Frame, StartFrame
from pipecat.processors.frame_processor import FrameDirection

from agent.pipeline.clock import MediaClock
from agent.pipeline.direct import DirectProcessor
from agent.pipeline.ending import CALLER_HUNG_UP, SOCKET_DROPPED, CallEnd, Ending
from agent.pipeline.frames import AgentAudioFrame, CallerAudioFrame, FramePlayedFrame
from agent.pipeline.playout import Playout
from agent.pipeline.serializer import MediaSerializer
from telephony.carrier import MediaSocket
from telephony.media import PHONE

NO_MEDIA_S = 10.0
GOODBYE_HEARD_S = 3.0
ECHO_S = 5.0
MOST_WAITING = 250  # ten seconds of frames and marks: a call that is later than that goes on with what is new
_SAMPLES_PER_MS = PHONE.sample_hz // 1000


class PhoneInput(DirectProcessor):
    """Reads the socket until the stream stops, the socket drops or no audio comes for 10 s."""

    def __init__(self, socket: MediaSocket, serializer: MediaSerializer, clock: MediaClock, end: CallEnd) -> None:
        super().__init__()
        self._socket = socket
        self._serializer = serializer
        self._clock = clock
        self._end = end
        self._reading: asyncio.Task[None] | None = None
        self._waiting: deque[Frame | Ending] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._reading = self.create_task(self._read(), "read")

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._reading is not None:
            await self.cancel_task(self._reading)
            self._reading = None

    def _take(self, message: str | bytes | None) -> None:
        """Turn a message into what waits for the call; three of four packets make nothing yet, and wake nobody."""
        frames = [] if message is None else self._serializer.receive(message)
        if message is None:
            self._waiting.append(SOCKET_DROPPED)
        elif frames is None:
            self._waiting.append(CALLER_HUNG_UP)
        elif frames:
            self._waiting.extend(frames)
        else:
            return
        self._news.set()

    async def _read(self) -> None:
        loop, renew_s = asyncio.get_running_loop(), 0.0
        self._socket.hand_over(self._take)
        try:
            async with asyncio.timeout(NO_MEDIA_S) as deadline:
                while not isinstance(next_one := await self._next_frame(), Ending):
                    if isinstance(next_one, CallerAudioFrame):
                        if (now_s := loop.time()) >= renew_s:  # a timer for each frame would cost as much as the frame
                            deadline.reschedule(now_s + NO_MEDIA_S)
                            renew_s = now_s + 1
                        self._clock.heard(next_one.at_ms + next_one.num_frames // _SAMPLES_PER_MS)
                        if self._waiting:
                            await asyncio.sleep(0)  # a burst of late audio must not keep other calls waiting
                    await self.push_frame(next_one)
            self._end.settle(next_one)
        except TimeoutError:
            self._end.settle(Ending("stream_failed", f"No audio came from the carrier for {NO_MEDIA_S:g} seconds."))

    async def _next_frame(self) -> Frame | Ending:
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class PhoneOutput(DirectProcessor):
    """Sends the agent's audio with marks, passes on what was sent, and ends the call once its last words were heard.

    ``alarm`` is called once, with a sentence, if the carrier never says that it played anything.
    """

    def __init__(
        self,
        socket: MediaSocket,
        serializer: MediaSerializer,
        clock: MediaClock,
        end: CallEnd,
        alarm: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._socket = socket
        self._serializer = serializer
        self._clock = clock
        self._end = end
        self._alarm = alarm
        self._last: tuple[int, Ending] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._is_sending = self._is_heard = False
        self.playout = Playout()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, AgentAudioFrame) and not await self._play(frame):
            return
        if isinstance(frame, FramePlayedFrame):
            self._played(frame.index)
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        await super().cleanup()
        for timer in self._timers:
            timer.cancel()

    async def _play(self, frame: AgentAudioFrame) -> bool:
        now_ms = time.monotonic() * 1000
        if not self.playout.admits(silent=frame.silent and frame.ends is None, now_ms=now_ms):
            return False
        frame.at_ms = self._clock.now_ms()
        self.playout.sent(frame.index, now_ms, silent=frame.silent)
        await self._socket.send(*self._serializer.send(frame))
        loop = asyncio.get_running_loop()
        if not self._is_sending:
            self._is_sending = True
            self._timers.append(loop.call_later(ECHO_S, self._check_echo))
        if frame.ends and self._last is None:
            self._last = frame.index, frame.ends
            self._timers.append(loop.call_later(GOODBYE_HEARD_S, self._end.settle, frame.ends))
        return not frame.rings  # a tone is on no track of the recording: whoever looks for speech would find it

    def _check_echo(self) -> None:
        if not self._is_heard:
            self._alarm(f"The carrier did not say in {ECHO_S:g} seconds that it played anything.")

    def _played(self, index: int) -> None:
        self.playout.played(index, time.monotonic() * 1000)
        self._is_heard = True
        if self._last is not None and index >= self._last[0]:
            self._end.settle(self._last[1])
