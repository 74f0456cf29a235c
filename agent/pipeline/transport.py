"""The two ends of the pipeline at the media socket. Nothing here paces: audio goes out as it comes.

pipecat's own transport paces by the wall clock and never makes lateness up, and hangs up by itself; a real-time
source needs neither.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from pipecat.frames.frames import Frame, StartFrame
from pipecat.processors.frame_processor import FrameDirection

from agent.duplex import FRAME_MS
from agent.pipeline.clock import MediaClock
from agent.pipeline.direct import DirectProcessor
from agent.pipeline.ending import CALLER_HUNG_UP, SOCKET_DROPPED, CallEnd, Ending
from agent.pipeline.frames import AgentAudio, AudioPlayed, Media
from agent.pipeline.playout import Playout
from agent.pipeline.serializer import MediaSerializer
from telephony.audio.framing import CallerAudio
from telephony.carrier import MediaSocket

NO_MEDIA_S = 10.0
GOODBYE_HEARD_S = 3.0
ECHO_S = 5.0
LEAST_APART_S = 0.005  # a line in time brings a frame every 80 ms, and a mark
MOST_WAITING = 250  # ten seconds of frames and marks: a call that is later than that goes on with what is new


class PhoneInput(DirectProcessor):
    """Reads the socket until the stream stops, the socket drops or no audio comes for 10 s."""

    def __init__(self, socket: MediaSocket, serializer: MediaSerializer, clock: MediaClock, end: CallEnd) -> None:
        super().__init__()
        self._socket = socket
        self._serializer = serializer
        self._clock = clock
        self._end = end
        self._waiting: deque[Media | Ending] = deque(maxlen=MOST_WAITING)
        self._loop = asyncio.get_running_loop()
        self._passing_on: asyncio.Handle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._heard_s = self._passed_s = 0.0
        self._is_over = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._heard_s = self._loop.time()
            self._check_silence()
            self._loop.call_soon(self._socket.hand_over, self._receive)  # an engine that is ready says so before

    async def cleanup(self) -> None:
        await super().cleanup()
        self._is_over = True
        for handle in (self._passing_on, self._silence):
            if handle is not None:
                handle.cancel()

    def _receive(self, message: str | bytes | None) -> None:
        """Turn a message into what waits for the call; three of four packets make nothing yet."""
        if self._is_over:
            return
        media: Sequence[Media | Ending] | None
        media = (SOCKET_DROPPED,) if message is None else self._serializer.receive(message)
        if media is None:
            media = (CALLER_HUNG_UP,)
        if not media:
            return
        self._waiting.extend(media)
        self._socket.hold(*self._serializer.holds())
        if self._passing_on is None:
            if self._loop.time() - self._passed_s > LEAST_APART_S:
                self._pass_on()
            else:
                self._passing_on = self._loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        """Pass one piece on, others later: a burst of late audio must not keep other calls waiting."""
        media = self._waiting.popleft()
        self._passing_on = self._loop.call_soon(self._pass_on) if self._waiting else None
        self._passed_s = self._loop.time()
        if isinstance(media, Ending):
            self._end.settle(media)
            return
        if isinstance(media, CallerAudio):
            self._heard_s = self._passed_s
            self._clock.heard(media.at_ms + FRAME_MS)
        self.hand_on(media)

    def _check_silence(self) -> None:
        left_s = self._heard_s + NO_MEDIA_S - self._loop.time()
        if left_s > 0:
            self._silence = self._loop.call_later(left_s, self._check_silence)
        else:
            self._end.settle(Ending("stream_failed", f"No audio came from the carrier for {NO_MEDIA_S:g} seconds."))


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
        self._unsent: deque[str] = deque()
        self._sending: asyncio.Task[None] | None = None
        self.playout = Playout()

    async def cleanup(self) -> None:
        await super().cleanup()
        for timer in self._timers:
            timer.cancel()
        if self._sending is not None:
            await self.cancel_task(self._sending)

    def take(self, media: Media) -> None:
        if isinstance(media, AgentAudio) and not self._play(media):
            return
        if isinstance(media, AudioPlayed):
            self._played(media.index)
        self.hand_on(media)

    def _play(self, media: AgentAudio) -> bool:
        """Send it; False if it is left out, and for what nobody has said."""
        now_ms = time.monotonic() * 1000
        if not self.playout.admits(silent=media.silent and media.ends is None, now_ms=now_ms):
            return False
        media.at_ms = self._clock.now_ms()
        self.playout.sent(media.index, now_ms, silent=media.silent)
        self._send(self._serializer.send(media))
        if not self._is_sending:
            self._is_sending = True
            self._timers.append(asyncio.get_running_loop().call_later(ECHO_S, self._check_echo))
        if media.ends and self._last is None:
            self._last = media.index, media.ends
            settle = asyncio.get_running_loop().call_later(GOODBYE_HEARD_S, self._end.settle, media.ends)
            self._timers.append(settle)
        return not media.rings  # a tone is on no track of the recording: whoever looks for speech would find it

    def _send(self, messages: tuple[str, ...]) -> None:
        """Send at once, or, where the socket takes nothing now, in order as soon as it does."""
        if self._sending is None and self._socket.send_now(*messages):
            return
        self._unsent.extend(messages)
        if self._sending is None:
            self._sending = self.create_task(self._send_late(), "send")

    async def _send_late(self) -> None:
        while self._unsent:
            await self._socket.send(self._unsent.popleft())
        self._sending = None

    def _check_echo(self) -> None:
        if not self._is_heard:
            self._alarm(f"The carrier did not say in {ECHO_S:g} seconds that it played anything.")

    def _played(self, index: int) -> None:
        self.playout.played(index, time.monotonic() * 1000)
        self._is_heard = True
        if self._last is not None and index >= self._last[0]:
            self._end.settle(self._last[1])
