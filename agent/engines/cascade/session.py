"""One call on the cascade: frames in, frames out, and the tasks between.

    push ──▶ inbox ──▶ VoiceActivity (a thread) ──▶ Conversation.step ──▶ outbox ──▶ frames

All tasks of a call live in one TaskGroup; if one fails, the call is lost, and only this call.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import structlog

from agent.duplex import FRAME_SAMPLES, AgentFrame, DuplexError, EngineLost, RolePrompt, Samples
from agent.engines.cascade.activity import Silero, VoiceActivity
from agent.engines.cascade.conversation import Conversation
from agent.engines.cascade.ports import Recogniser, RecogniserSession, Responder, Voice

log = structlog.get_logger(__name__)

_UNREAD_FRAMES = 750
"""A minute that nobody reads means that the call is gone; memory stays bounded."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all calls share."""

    recogniser: Recogniser
    responder: Responder
    voice: Voice
    silero: Silero
    ears: Executor


class CascadeSession:
    """See ``agent.duplex.DuplexSession``. ``ended`` is called once, when the slot is free again."""

    def __init__(self, role: RolePrompt, parts: Parts, ended: "Callable[[CascadeSession], None]") -> None:
        self._parts = parts
        self._role = role
        self._ended = ended
        self._inbox: asyncio.Queue[Samples] = asyncio.Queue()
        self._outbox: asyncio.Queue[AgentFrame | None] = asyncio.Queue()
        self._ready = asyncio.Event()
        self._calm = asyncio.Event()
        self._work = 0
        self._failure: str | None = None
        self._closed = False
        self._recogniser: asyncio.Future[RecogniserSession] = asyncio.get_running_loop().create_future()
        # The one task that close() ends and awaits; all others belong to the group inside it.
        self._root = asyncio.get_running_loop().create_task(self._run(), name="cascade-session")
        self._root.add_done_callback(self._end)

    async def ready(self) -> None:
        await self._ready.wait()
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
        if self._inbox.qsize() + self._outbox.qsize() >= _UNREAD_FRAMES:
            self._failure = "The call did not read the engine's audio for a minute."
            self._root.cancel()
            return
        self._work += 1
        self._calm.clear()
        self._inbox.put_nowait(frame.copy())

    async def frames(self) -> AsyncIterator[AgentFrame]:
        while not self._closed:
            frame = await self._outbox.get()
            if self._closed:
                return
            if frame is None:
                raise EngineLost(self._failure or "The engine ended the call.")
            yield frame

    async def settled(self) -> None:
        """Return when every frame pushed is answered and nothing is being recognised, thought of or synthesised.

        Calls in real time don't need it; it lets tests and benchmarks run a call faster than that.
        """
        await self._calm.wait()

    async def close(self) -> None:
        self._closed = True
        self._root.cancel()
        await asyncio.wait([self._root])

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                conversation = Conversation(
                    self._role.card, self._parts.voice, self._role.voice, self._recogniser, self._spawn
                )
                self._spawn(self._prepare(conversation))
                tasks.create_task(self._answer_frames(conversation))
        except* Exception as failures:
            first = _first(failures)
            self._failure = str(first) if isinstance(first, DuplexError) else "The cascade failed; see the log."
            log.error("a cascade session failed", error=type(first).__name__, exc_info=first)
        finally:
            if self._recogniser.done() and not self._recogniser.cancelled():
                await self._recogniser.result().close()

    def _end(self, _: "asyncio.Task[None]") -> None:
        self._ended(self)
        self._ready.set()
        self._calm.set()
        self._outbox.put_nowait(None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        self._work += 1
        self._calm.clear()
        task = self._tasks.create_task(work)
        task.add_done_callback(lambda _: self._done())
        return task

    def _done(self) -> None:
        self._work -= 1
        if self._work == 0:
            self._calm.set()

    async def _prepare(self, conversation: Conversation) -> None:
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(self._parts.responder.open(self._role.card))
            tasks.create_task(self._open_recogniser())
            conversation.converse(await opening)
            self._ready.set()  # the greeting needs no ears: they may still be getting ready

    async def _open_recogniser(self) -> None:
        self._recogniser.set_result(await self._parts.recogniser.open(self._role.card))

    async def _answer_frames(self, conversation: Conversation) -> None:
        activity = VoiceActivity(self._parts.silero)
        loop = asyncio.get_running_loop()
        index = 0
        while True:
            frame = await self._inbox.get()
            pcm, windows = await loop.run_in_executor(self._parts.ears, activity.hear, frame)
            self._outbox.put_nowait(conversation.step(index, pcm, windows))
            index += 1
            self._done()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure of a tree of them."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
