"""One call on another process's engine: frames in, messages out, and back.

push ──▶ outbox ──▶ SoundWriter ══ WebSocket ══▶ the server
frames ◀── one for each pushed ◀── FrameCutter ◀── SoundReader ◀══ 01 sound, 02 text
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from agent.duplex import FRAME_SAMPLES, AgentFrame, EngineLost, Samples
from agent.engines.remote.answers import Answers
from agent.wire.messages import Handshake, Sound, WireError, parse, sound_message
from agent.wire.sound import FrameCutter, sound_reader, sound_writer

LOST_S = 10.0
"""A server that owes frames and sends nothing for so long has lost the call."""

_UNREAD_FRAMES = 750
"""A minute that nobody reads, or that the server takes nothing, means that the call is gone."""

log = structlog.get_logger(__name__)


class RemoteSession:
    """See ``agent.duplex.DuplexSession``. ``ended`` is called once, when the connection is closed."""

    def __init__(self, socket: ClientConnection, pcm: bool, ended: "Callable[[RemoteSession], None]") -> None:
        self._socket = socket
        self._pcm = pcm
        self._ended = ended
        self._outbox: asyncio.Queue[Samples] = asyncio.Queue()
        self._answers = Answers()
        self._inbox: asyncio.Queue[AgentFrame | None] = asyncio.Queue()
        self._prompted = asyncio.Event()
        self._failure = ""
        self._closed = False
        # The one task that close() ends and awaits; the others belong to the group inside it.
        self._root = asyncio.get_running_loop().create_task(self._run(), name="remote-session")
        self._root.add_done_callback(self._end)

    @property
    def silent_frames(self) -> int:
        """How many frames the server owed and were given out as silence."""
        return self._answers.filled

    async def ready(self) -> None:
        await self._prompted.wait()
        if self._root.done():
            raise EngineLost(self._failure or "The call was closed before it was ready.")

    def push(self, frame: Samples) -> None:
        """Hand in the caller's next frame; see ``agent.duplex.DuplexSession.push``.

        Raises:
            ValueError: the frame is not [FRAME_SAMPLES].
        """
        if self._closed or self._root.done():
            return
        if frame.shape != (FRAME_SAMPLES,):
            raise ValueError(f"A frame is [{FRAME_SAMPLES}] samples, not {list(frame.shape)}.")
        if max(self._outbox.qsize(), self._inbox.qsize()) >= _UNREAD_FRAMES:
            self._failure = self._failure or "The call's sound was not taken for a minute."
            self._root.cancel()
            return
        self._outbox.put_nowait(frame.copy())

    async def frames(self) -> AsyncIterator[AgentFrame]:
        while not self._closed:
            frame = await self._inbox.get()
            if self._closed:
                return
            if frame is None:
                self._inbox.put_nowait(None)
                raise EngineLost(self._failure)
            yield frame

    async def close(self) -> None:
        self._closed = True
        self._root.cancel()
        try:
            await asyncio.wait([self._root])
            await self._socket.close()  # where the task was cancelled before its first step
        except asyncio.CancelledError:  # another server was sooner: the slot is freed without a farewell
            self._socket.transport.abort()
            raise

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send())
                tasks.create_task(self._receive())
        except* ConnectionClosed:
            self._failure = _farewell(self._socket)
        except* WireError as failures:
            self._failure = f"The engine's server does not keep to the protocol: {failures.exceptions[0]}"
        except* EngineLost as failures:
            self._failure = str(failures.exceptions[0])
        except* Exception as failures:
            self._failure = "The connection to the engine failed; see the log."
            log.error("a remote session failed", error=type(failures.exceptions[0]).__name__, exc_info=failures)
        finally:
            await self._socket.close()

    def _end(self, _: "asyncio.Task[None]") -> None:
        self._ended(self)
        self._failure = self._failure or "The engine's server ended the call."
        if self._answers.filled:
            log.warning("frames the server owed were silence", frames=self._answers.filled)
        self._prompted.set()
        self._inbox.put_nowait(None)

    async def _send(self) -> None:
        writer = sound_writer(self._pcm)
        await self._prompted.wait()  # the published server throws away what comes before, the stream's headers too
        while True:
            frame = await self._outbox.get()
            self._answers.owe()
            self._give()
            if self._answers.silent_s > LOST_S:
                raise EngineLost(f"The engine's server sent nothing for {LOST_S:g} seconds.")
            await self._socket.send(sound_message(writer.write(frame)))

    async def _receive(self) -> None:
        reader, cutter = sound_reader(self._pcm), FrameCutter()
        async for message in self._socket:
            event = parse(message)
            if isinstance(event, Handshake):
                self._prompted.set()
            elif isinstance(event, Sound):
                for samples in reader.read(event.data):
                    for frame in cutter.cut(samples):
                        self._answers.hear(frame)
            else:
                self._answers.read(event.text)
            self._give()
        raise ConnectionClosed(None, None)  # the server's own end, with a normal code

    def _give(self) -> None:
        for frame in self._answers.take():
            self._inbox.put_nowait(frame)


def _farewell(socket: ClientConnection) -> str:
    """Return why the server closed, one sentence."""
    code, reason = socket.close_code, socket.close_reason
    if code is None or code == 1006:
        return "The connection to the engine's server broke."
    return f"The engine's server ended the call ({code}): {reason or 'it gave no reason.'}"
