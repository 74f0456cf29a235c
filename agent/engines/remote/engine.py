"""The port's side of another process's engine: connecting, and what can go wrong with it."""

import asyncio

import httpx
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from agent.duplex import Capacity, EngineFull, EngineUnavailable, RolePrompt
from agent.engines.remote.address import Address
from agent.engines.remote.session import RemoteSession
from agent.wire.query import ChatQuery

CONNECT_S = 5.0
MOST_MESSAGE_BYTES = 1024 * 1024
_FOREIGN_SLOTS = 1
"""A server that does not tell its slots is taken for the published one, which carries one call at a time."""

log = structlog.get_logger(__name__)


class RemoteEngine:
    """Carries as many calls as the other server does."""

    name = "remote"

    def __init__(self, address: Address, slots: int) -> None:
        """``slots`` 0 asks the server."""
        self._address = address
        self._slots = slots
        self._asks = not slots
        self._sessions: set[RemoteSession] = set()
        self._opening = 0

    async def start(self) -> None:
        """Ask the server how many calls it carries; one that is not up yet is asked again by the first call."""
        if not self._slots and not await self._ask_slots():
            log.warning("the engine's server does not answer yet", url=self._address.url)

    async def open(self, role: RolePrompt) -> RemoteSession:
        """Connect, which reserves the slot; see ``agent.duplex.DuplexEngine.open``."""
        if not self._slots:
            await self._ask_slots()
        if self._slots and self.capacity().used >= self._slots:
            raise EngineFull(f"All {self._slots} slots of the engine 'remote' are taken.")
        query = ChatQuery(role.voice, role.text, role.seed, role.sampling)
        self._opening += 1
        try:
            socket = await self._connect(self._address.chat_url(query.write()))
            session = RemoteSession(socket, self._address.pcm, self._sessions.discard)
            self._sessions.add(session)
        except EngineUnavailable:
            if self._asks:
                self._slots = 0  # what comes up in its place may have others
            raise
        finally:
            self._opening -= 1
        return session

    def capacity(self) -> Capacity:
        return Capacity(slots=self._slots, used=len(self._sessions) + self._opening)

    async def close(self) -> None:
        await asyncio.gather(*(session.close() for session in list(self._sessions)))

    async def _ask_slots(self) -> bool:
        """Learn the server's slots; return whether it told, or is none of ours."""
        try:
            async with httpx.AsyncClient(timeout=CONNECT_S, headers=self._address.headers, trust_env=False) as http:
                answer = await http.get(self._address.health_url)
            if answer.is_server_error:  # of a proxy whose server is not up
                return False
            told = answer.json().get("slots") if answer.status_code == httpx.codes.OK else None
        except httpx.HTTPError:
            return False
        except (ValueError, AttributeError):  # an answer, but not of our server
            told = None
        # 0 while our own server still loads
        self._slots = told if type(told) is int and told >= 0 else _FOREIGN_SLOTS
        return bool(self._slots)

    async def _connect(self, url: str) -> ClientConnection:
        try:
            async with asyncio.timeout(CONNECT_S):
                return await connect(
                    url,
                    additional_headers=self._address.headers,
                    compression=None,
                    proxy=None,
                    max_size=MOST_MESSAGE_BYTES,
                    open_timeout=None,
                    close_timeout=1,
                )
        except InvalidStatus as refused:
            raise _refusal(refused, self._address.url) from refused
        except TimeoutError:
            reason = f"did not answer within {CONNECT_S:g} seconds"
        except (OSError, WebSocketException, EOFError) as error:
            reason = f"can't be reached ({getattr(error, 'strerror', None) or str(error) or type(error).__name__})"
        raise EngineUnavailable(f"The engine at {self._address.url} {reason}; check PARLEY_ENGINE_URL.")


def _refusal(refused: InvalidStatus, url: str) -> EngineFull | EngineUnavailable:
    response = refused.response
    status = response.status_code
    if status == httpx.codes.SERVICE_UNAVAILABLE and "Retry-After" in response.headers:
        after = response.headers["Retry-After"]
        return EngineFull(f"The engine at {url} is full.", float(after) if after.isdecimal() else None)
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return EngineUnavailable(
            f"The engine at {url} refused the call ({status}); check PARLEY_ENGINE_TOKEN and PARLEY_ENGINE_URL."
        )
    if status == httpx.codes.NOT_FOUND:
        return EngineUnavailable(f"There is no engine at {url} (404); check PARLEY_ENGINE_URL's path.")
    said = " ".join(bytes(response.body or b"")[:300].decode(errors="replace").split())
    return EngineUnavailable(f"The engine at {url} refused the call ({status}): {said or 'it gave no reason'}")
