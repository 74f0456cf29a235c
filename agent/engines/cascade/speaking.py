"""What the agent says: replies asked for, made audible, played, and broken off.

Heard ──▶ responder ──Reply──▶ voice ──Speech──▶ Playout
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

import numpy as np

from agent.duplex import SAMPLE_HZ
from agent.engines.cascade.hearing import Heard, Spawn
from agent.engines.cascade.playout import Line, Playout
from agent.engines.cascade.ports import Reply, ResponderSession, Voice


class Speaker:
    """The agent's side of one call."""

    def __init__(self, voice: Voice, voice_name: str, spawn: Spawn) -> None:
        self.playout = Playout()
        self._voice = voice
        self._voice_name = voice_name
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None
        self._responder: ResponderSession | None = None

    @property
    def busy(self) -> bool:
        """Whether the agent speaks or is about to."""
        return self.playout.busy or (self._task is not None and not self._task.done())

    def say(self, reply: Reply) -> None:
        """Say one sentence of the engine's own."""
        self._responder = None
        self._begin(_once(reply), {})

    def answer(self, responder: ResponderSession, heard: Heard) -> None:
        """Ask the responder, and say what it answers, sentence by sentence."""
        self._responder = responder
        timings = {"endpoint_ms": float(heard.endpoint_ms), "decode_ms": float(heard.decode_ms)}
        self._begin(responder.reply(heard.transcript), timings)

    def _begin(self, replies: AsyncIterator[Reply], timings: Mapping[str, float]) -> None:
        self.playout.begin_reply()
        self._task = self._spawn(self._speak(replies, timings))

    async def _speak(self, replies: AsyncIterator[Reply], timings: Mapping[str, float]) -> None:
        began = time.perf_counter()
        async for reply in replies:
            answered = time.perf_counter()
            speech = await self._voice.speak(reply.text, self._voice_name)
            if timings:
                voiced = time.perf_counter()
                timings = {**timings, "answer_ms": (answered - began) * 1000, "voice_ms": (voiced - answered) * 1000}
            words = tuple((word.text, word.start_ms * SAMPLE_HZ // 1000) for word in speech.words)
            self.playout.say(Line(np.asarray(speech.audio, np.float32), words, timings, reply.ends_call))
            timings = {}

    def stop(self) -> str:
        """Break off, tell the responder, and return what was said of the reply."""
        if self._task is not None:
            self._task.cancel()
        self.playout.stop()
        spoken = self.playout.spoken.strip()
        if self._responder is not None:
            self._responder.was_cut_off(spoken)
        return spoken


async def _once(reply: Reply) -> AsyncIterator[Reply]:
    yield reply
