"""Questions between machines, over HTTP on the port that everything else comes to: a firewall needs to know no other.

Any process of a machine may get a question; it passes it on to the one that is meant.
"""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.responses import Response

from agent.neighbours.answers import SILENCE_S
from agent.neighbours.seals import MOST_BYTES, BadSeal
from agent.neighbours.sockets import Answer
from crm.gateways import Gateways

PATH = "/peers/live"


class Machines:
    """How one process asks those of other machines."""

    def __init__(self, gateways: Gateways) -> None:
        self._gateways = gateways
        self._client = httpx.AsyncClient(
            trust_env=False,  # no proxy of the environment stands between machines
            verify=ssl.create_default_context(),  # with what authorities the system has: a company's own, too
            timeout=SILENCE_S,
            # One for each page that is open, and none kept: a button must not meet one that is just being closed.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._client.aclose()

    @asynccontextmanager
    async def sent(self, to: str, line: bytes) -> AsyncIterator[AsyncIterator[str]]:
        """Ask the process ``to``; yield the lines that it answers. The caller limits the time. Raises OSError."""
        address = await self._gateways.address(to)
        if not address:
            raise ConnectionError("it has not said where it can be reached (PARLEY_PEER_ADDRESS)")
        try:
            async with self._client.stream("POST", address + PATH, content=line) as answer:
                if answer.status_code != httpx.codes.OK:
                    why = (await answer.aread())[:200].decode(errors="replace")
                    raise ConnectionError(f"{address} answers with status {answer.status_code}: {why}")
                yield _lines(answer)
        except httpx.HTTPError as error:
            raise _lost(error) from None


def add_route(app: FastAPI, answer: Answer) -> None:
    """Answer other machines. The path is not for the public; who lacks the secret learns nothing from it."""

    @app.post(PATH, include_in_schema=False)
    async def peers(request: Request) -> Response:
        line = b""
        async for piece in request.stream():
            line += piece
            if len(line) > MOST_BYTES:
                return PlainTextResponse("The question is too long.", 413)
        lines = answer(line)
        try:
            first = await anext(lines, None)
        except BadSeal as error:
            return PlainTextResponse(str(error), 403)
        if first is None:
            return PlainTextResponse("The call is not carried here.", 404)
        return StreamingResponse(_from(first, lines), media_type="application/x-ndjson")


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    try:
        async for line in answer.aiter_lines():
            yield line
    except httpx.HTTPError as error:
        raise _lost(error) from None


def _lost(error: httpx.HTTPError) -> ConnectionError:
    return ConnectionError(f"{error.request.url}: {type(error).__name__} {error}")


async def _from(first: bytes, rest: AsyncGenerator[bytes, Any]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for line in rest:
            yield line
