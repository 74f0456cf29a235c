"""Asks the company's own records who calls: one request over HTTP while it rings, and never longer than it may take.

POST {"number": "+15550100"} ─▶ 200 {"name": …, "profile": …} │ 404, who knows nobody by this number

The number travels in the body, because addresses stand in the logs of servers and proxies.
"""

import asyncio

import httpx
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ConfigDict, ValidationError

from agent.tracing.spans import pass_on, span
from crm.call import KnownCaller
from personas.prompt import MOST_NAME_BYTES, MOST_PROFILE_BYTES, as_data

MOST_ANSWER_BYTES = 64 * 1024
# Addresses are looked up and TLS is agreed on again after this long without a call.
_KEPT_OPEN_S = 120


class LookupFailed(Exception):
    """The records did not answer in time, or not as agreed; the message says how, without number or name."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str | None = None
    profile: str | None = None


class CustomerLookup:
    """Asks ``url``; close it after use. ``token`` is sent as a bearer token, ``timeout_s`` is for all of a lookup."""

    def __init__(self, url: str, token: str = "", timeout_s: float = 0.3) -> None:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}  # a small packet may unpack to much
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=10, keepalive_expiry=_KEPT_OPEN_S)
        self._url = url
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(headers=headers, timeout=timeout_s, limits=limits, follow_redirects=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def find(self, number: str) -> KnownCaller | None:
        """Return who calls from an E.164 number; None where the records know nobody by it, or nothing of them.

        Raises:
            LookupFailed: whatever went wrong, after the timeout at the latest.
        """
        try:
            with span("look up caller", SpanKind.CLIENT):
                async with asyncio.timeout(self._timeout_s):
                    body = await self._ask(number)
        except (TimeoutError, httpx.TimeoutException):
            raise LookupFailed(f"no answer within {self._timeout_s * 1000:.0f} ms") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise LookupFailed(f"no answer: {type(error).__name__}") from None
        return None if body is None else _read(body)

    async def _ask(self, number: str) -> bytes | None:
        headers = pass_on()
        async with self._client.stream("POST", self._url, json={"number": number}, headers=headers) as answer:
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            if answer.status_code != httpx.codes.OK:
                hint = ", redirects are not followed" if answer.is_redirect else ""
                raise LookupFailed(f"answered with status {answer.status_code}{hint}")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise LookupFailed("answered with a compressed body, which was not asked for")
            body = b""
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > MOST_ANSWER_BYTES:
                    raise LookupFailed(f"answered with more than {MOST_ANSWER_BYTES // 1024} KiB")
            return body


def _read(body: bytes) -> KnownCaller | None:
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError:
        raise LookupFailed("answered with something else than JSON's {name, profile}, both text") from None
    name, profile = as_data(answer.name or "", MOST_NAME_BYTES), as_data(answer.profile or "", MOST_PROFILE_BYTES)
    return KnownCaller(name, profile, "lookup") if name or profile else None
