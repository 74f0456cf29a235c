"""One address of a server: what it carries, whether it is there, and a connection to it for each call."""

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any

import httpx
import structlog
from opentelemetry import propagate
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from agent.duplex import EngineFull, EngineUnavailable, RolePrompt
from agent.engines.remote.address import Address
from agent.engines.remote.session import RemoteSession
from agent.wire.query import PCM, ChatQuery

CONNECT_S = 2.0
"""How long a server may take to give a call its slot: one lost packet more than a line takes, and its voice's file."""

SLOW_S = 0.5
"""After which a call asks the next server too; whoever is given up then is away as well."""

REST_S = 10.0
"""How long a server that was not there is asked last."""

MOST_MESSAGE_BYTES = 1024 * 1024
_FOREIGN_SLOTS = 1
"""A server that does not tell its slots is taken for the published one, which carries one call at a time."""

log = structlog.get_logger(__name__)


class Host:
    """Carries calls as long as it is there; ``slots`` is 0 until it has told them, while it drains or is away.

    Args:
        at: the IP address to connect to; for TLS and the server it stays who ``address`` names.
        went_away: called when a call finds it away.
    """

    def __init__(self, address: Address, at: str, went_away: Callable[[], None]) -> None:
        self.slots = 0
        self.drains = False
        self.has_left = False
        self._instance = ""
        self._address = address
        self._at = at
        self._went_away = went_away
        self._pcm = address.pcm
        self._is_foreign = not address.pcm
        self._sessions: set[RemoteSession] = set()
        self._opening = 0
        self._rests_until = 0.0
        self._tls: ssl.SSLContext | None = None
        self._http: httpx.AsyncClient | None = None

    @property
    def url(self) -> str:
        """Its server's URL, with the address where that is another."""
        return self._address.url if self._at == self._address.host else f"{self._address.url} ({self._at})"

    @property
    def server(self) -> "str | Address":
        """Which server it leads to: the instance that it tells, or all that is known, its name."""
        return self._instance or self._address

    @property
    def calls(self) -> int:
        return len(self._sessions)

    @property
    def used(self) -> int:
        """Slots that calls have, or are asking for."""
        return len(self._sessions) + self._opening

    @property
    def is_doubtful(self) -> bool:
        """Whether it is to be asked last: it was away a moment ago, drains, or has told no slots."""
        return not self.slots or time.monotonic() < self._rests_until

    async def ask(self) -> None:
        """Learn what it carries and whether it takes raw sound; ``slots`` is 0 where nobody answers in time.

        The published server answers nothing while it takes in a role prompt: in a call it is not asked.
        """
        if self._is_foreign and self.used:
            return
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._ask()
        except TimeoutError:
            self._forget()

    async def _ask(self) -> None:
        url = httpx.URL(self._address.health_url)
        try:
            answer = await (await self._client()).get(
                url.copy_with(host=self._at),
                headers={"Host": url.netloc.decode()},
                extensions={"sni_hostname": url.raw_host.decode()},
            )
        except httpx.HTTPError:
            self._forget()
            return
        if answer.is_server_error:  # of a proxy whose server is not up, or of ours, whose device has failed
            self._forget()
            return
        try:
            told = answer.json() if answer.status_code == httpx.codes.OK else {}
        except ValueError:  # an answer, but not of our server
            told = {}
        self._learn(told if isinstance(told, dict) else {})

    def _learn(self, told: dict[str, Any]) -> None:
        slots, formats, instance = told.get("slots"), told.get("formats"), told.get("instance")
        carries = slots if type(slots) is int and slots >= 0 else _FOREIGN_SLOTS  # 0 while our own still loads
        self.drains = told.get("status") == "draining"
        self._instance = instance if isinstance(instance, str) else ""
        is_ours = isinstance(formats, list)
        self._is_foreign = not (is_ours or self._address.pcm)
        self._pcm = self._address.pcm or (self._address.leaves_format and is_ours and PCM in formats)
        self._count(0 if self.drains else carries)

    def _forget(self) -> None:
        """What comes up in its place may be another."""
        self._instance, self.drains = "", False
        self._count(0)

    def _count(self, slots: int) -> None:
        if bool(slots) != bool(self.slots):
            event = "an engine takes calls" if slots else "an engine takes no more calls"
            log.info(event, url=self.url, slots=slots, drains=self.drains)
        self.slots = slots

    async def open(self, role: RolePrompt) -> RemoteSession:
        """Connect, which reserves a slot.

        Raises:
            EngineFull: it has none.
            EngineUnavailable: it is not there, or refuses the call.
        """
        self._opening += 1
        began = time.monotonic()
        try:
            async with asyncio.timeout(CONNECT_S):
                if not self.slots:
                    await self._ask()
                socket = await self._connect(role)
        except asyncio.CancelledError:
            if time.monotonic() - began >= SLOW_S:
                self._away("was given up")
            raise
        except InvalidStatus as refused:
            raise self._refusal(refused) from refused
        except TimeoutError:
            raise self._away(f"did not answer within {CONNECT_S:g} seconds") from None
        except (OSError, WebSocketException, EOFError, ValueError) as error:  # ValueError: redirected to elsewhere
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise self._away(f"can't be reached ({why})") from error
        finally:
            self._opening -= 1
        self._rests_until = 0.0
        session = RemoteSession(socket, self._pcm, self._sessions.discard)
        self._sessions.add(session)
        return session

    async def close(self) -> None:
        await asyncio.gather(*(session.close() for session in list(self._sessions)))
        if self._http:
            await self._http.aclose()

    async def _connect(self, role: RolePrompt) -> ClientConnection:
        query = ChatQuery(role.voice, role.text, role.seed, role.sampling, self._pcm)
        if self._is_foreign:
            if role.seed is not None:
                log.warning("the engine's server takes no seed", url=self.url)
            query = query.for_published()
        headers = dict(self._address.headers)
        propagate.inject(headers)
        return await connect(
            self._address.chat_url(query.write()),
            host=self._at,
            additional_headers=headers,
            ssl=await self._trusted(),
            compression=None,
            proxy=None,
            max_size=MOST_MESSAGE_BYTES,
            open_timeout=None,
            close_timeout=1,
        )

    async def _client(self) -> httpx.AsyncClient:
        """Return who asks it; a connection for each question, since one that is kept may be closed as it is asked."""
        if self._http is None:
            tls, kept = await self._trusted(), httpx.Limits(max_keepalive_connections=0)
            self._http = httpx.AsyncClient(
                headers=self._address.headers, trust_env=False, verify=tls or False, limits=kept
            )
        return self._http

    async def _trusted(self) -> ssl.SSLContext | None:
        """Return whose certificates are believed, read once and off the event loop; None without encryption."""
        if self._address.is_secure and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return self._tls

    def _away(self, what: str) -> EngineUnavailable:
        self._rests_until = time.monotonic() + REST_S
        self._forget()
        self._went_away()
        return EngineUnavailable(f"The engine at {self.url} {what}; check PARLEY_ENGINE_URL.")

    def _refusal(self, refused: InvalidStatus) -> EngineFull | EngineUnavailable:
        response = refused.response
        status = response.status_code
        if status == httpx.codes.SERVICE_UNAVAILABLE and "Retry-After" in response.headers:
            after = response.headers["Retry-After"]
            return EngineFull(f"The engine at {self.url} is full.", float(after) if after.isdecimal() else None)
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return EngineUnavailable(
                f"The engine at {self.url} refused the call ({status}); check PARLEY_ENGINE_TOKEN and "
                "PARLEY_ENGINE_URL."
            )
        if status == httpx.codes.NOT_FOUND:
            return EngineUnavailable(f"There is no engine at {self.url} (404); check PARLEY_ENGINE_URL's path.")
        said = " ".join(bytes(response.body or b"")[:300].decode(errors="replace").split())
        sentence = f"refused the call ({status}): {said or 'it gave no reason'}"
        if httpx.codes.is_server_error(status):
            return self._away(sentence)
        return EngineUnavailable(f"The engine at {self.url} {sentence}")
