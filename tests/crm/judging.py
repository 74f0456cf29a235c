"""A chat endpoint on a real socket, whose model is a function; and a model that knows the control cases."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from crm.scoring.controls import controls

Answers = Callable[[dict[str, Any], int], object]
"""What the model answers to a question (its JSON) asked for the n-th time: text, a status, or an object."""


class Endpoint:
    """A chat endpoint on a real socket, whose model is a function."""

    def __init__(self) -> None:
        self.answers: Answers = lambda question, number: {"verdicts": []}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.address = ""
        self.before_answering: Callable[[], Awaitable[None]] | None = None

    @asynccontextmanager
    async def serving(self) -> "AsyncIterator[Endpoint]":
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await self._head(reader):
            lines = head.decode().splitlines()
            fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            body = json.loads(await reader.readexactly(int(fields["content-length"])))
            assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
            question = json.loads(body["messages"][1]["content"])
            self.requests.append((fields.get("authorization", ""), body))
            if self.before_answering:
                await self.before_answering()
            answer = self.answers(question, len(self.requests))
            status = answer if isinstance(answer, int) else 200
            text = answer if isinstance(answer, str) else json.dumps(answer)
            reply = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(reply)}\r\n\r\n".encode() + reply)
            await writer.drain()
        writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""


def vote(name: str, result: str, quote: str = "", turn: int | None = 2, reason: str = "Because.") -> dict[str, Any]:
    return {"id": name, "verdict": result, "quote": quote, "turn": turn, "reason": reason}


def wise(question: dict[str, Any], number: int) -> object:
    """A model that knows the control cases by their words."""
    said = [turn["words"] for turn in question["conversation"]]
    wanted = next(case.wanted for case in controls() if [line[3:] for line in case.lines] == said)
    agent = [turn for turn in question["conversation"] if turn["who"] == "agent"][-1]
    return {"verdicts": [vote(question["criteria"][0]["id"], wanted, agent["words"], agent["turn"])]}
