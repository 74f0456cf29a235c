"""The carrier's end of a media socket: what is sent is played at once, and said to be."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed

from telephony.audio import g711
from tests.agent.exchange import RawStream


class Line:
    """A phone that plays what it is sent and says so; it notes the frames that were loud."""

    def __init__(self, stream: RawStream) -> None:
        self.stream = stream
        self.loud: list[bool] = []

    async def live(
        self, seconds: float = 120, *, until: Callable[[], bool] = lambda: False, pcm: int = 0, speed: float = 16
    ) -> bool:
        """Send frames, ``speed`` times as fast as they are, and play what comes; return whether the server hung up.

        More than four times as fast is a flood after some seconds.
        """
        with contextlib.suppress(ConnectionClosed):
            for _ in range(round(seconds / 0.08)):
                if until():
                    return False
                await self.stream.say(np.full(640, pcm, np.int16) * np.tile([1, -1], 320).astype(np.int16))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.08 / speed):
                        while True:
                            await self._play(json.loads(await self.stream.socket.recv()))
            return False
        return True

    async def _play(self, message: dict[str, Any]) -> None:
        if message["event"] == "media":
            sound = g711.decode(base64.b64decode(message["media"]["payload"]))
            self.loud.append(bool(np.abs(sound).max() > 300))
        elif message["event"] == "mark":
            await self.stream.send("mark", mark=message["mark"])
