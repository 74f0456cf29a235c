"""A company's own records of customers: a server on a real socket that does what servers do."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agent.customer_lookup import CustomerLookup

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Records:
    """A server of one answer for all; ``asked`` holds the requests, ``came`` counts connections."""

    answer: Answer
    url: str = ""
    came: int = 0
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")[:-2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.asked.append((first, headers, body))
                await self.answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def records(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Records]:
    served = Records(answer)
    server = await asyncio.start_server(served.serve, "127.0.0.1", ssl=tls)
    port = server.sockets[0].getsockname()[1]
    served.url = f"{'https' if tls else 'http'}://localhost:{port}/callers/"
    try:
        yield served
    finally:
        server.close()


@asynccontextmanager
async def asking(url: str, timeout_s: float = 5.0, token: str = "") -> AsyncIterator[CustomerLookup]:
    lookup = CustomerLookup(url, token, timeout_s)
    try:
        yield lookup
    finally:
        await lookup.close()


def saying(status: str, body: bytes = b"", *headers: str) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return answer


def knowing(**values: object) -> Answer:
    return saying("200 OK", json.dumps(values).encode())


async def torn(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"name": "Ad')
    await writer.drain()
    writer.transport.abort()


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b" " * 10_000)
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:  # no read takes long, all of them never end
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.001)


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)
