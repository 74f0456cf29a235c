"""An answer of a chat endpoint as it comes: server-sent events to pieces of text, pieces to sentences."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from agent.engines.cascade.responder import phrasing

MOST_CHARACTERS = 2_000
"""Longest answer that is spoken; a model that loops is cut here."""

_MARKUP = re.compile(r"[*`#•]+")
_LASTING = frozenset({400, 401, 403, 404, 405, 413, 415, 422})


class ChatFailed(Exception):
    """The endpoint gave no whole answer; ``lasting`` when asking again can't help. Holds no words of the call."""

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


async def text_pieces(client: httpx.AsyncClient, body: Mapping[str, Any]) -> AsyncIterator[str]:
    """POST ``body`` to chat/completions and yield the pieces of text of its first choice.

    Raises:
        ChatFailed: refused, unreachable, silent too long, torn off before its end, or not in the protocol.
    """
    try:
        async with client.stream("POST", "chat/completions", json=body) as response:
            if response.status_code != httpx.codes.OK:
                raise ChatFailed(_refusal(response.status_code), lasting=response.status_code in _LASTING)
            ended = False
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                text, last = _piece(data)
                ended = ended or last
                if text:
                    yield text
            if not ended:
                raise ChatFailed("the answer broke off before its end", lasting=False)
    except httpx.TimeoutException as error:
        raise ChatFailed("the endpoint was silent for too long", lasting=False) from error
    except httpx.HTTPError as error:
        raise ChatFailed(f"the connection failed ({type(error).__name__})", lasting=False) from error


def _refusal(status: int) -> str:
    remedy = {401: "; check PARLEY_LLM_API_KEY", 403: "; check PARLEY_LLM_API_KEY"}
    remedy[404] = "; check PARLEY_LLM_BASE_URL and PARLEY_LLM_MODEL"
    return f"the endpoint answered with status {status}{remedy.get(status, '')}"


def _piece(data: str) -> tuple[str, bool]:
    """Return the text of one event, and whether its choice ends with it."""
    try:
        event = json.loads(data)
        if event.get("error"):
            raise ChatFailed("the endpoint reported an error inside its answer", lasting=False)
        choices = event.get("choices") or [{}]
        text = (choices[0].get("delta") or {}).get("content") or ""
        if not isinstance(text, str):
            raise TypeError
        return text, bool(choices[0].get("finish_reason"))
    except (ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise ChatFailed("the endpoint sent an event that is not in the chat protocol", lasting=False) from error


async def sentences_of(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield whole sentences as soon as the next one begins, the rest at the end; without markup.

    When ``pieces`` fail, the whole sentences have been yielded and the torn one is dropped.
    """
    waiting, length = "", 0
    async for piece in pieces:
        waiting += _MARKUP.sub("", piece)
        length += len(piece)
        *whole, waiting = phrasing.sentences(waiting, keep_end=True) or [""]
        for sentence in whole:
            yield " ".join(sentence.split())
        if length > MOST_CHARACTERS:
            return
    if rest := " ".join(waiting.split()):
        yield rest
