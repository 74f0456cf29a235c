"""The port's side of other processes' engines: which of them takes a call.

open ─▶ the least busy host ─ refuses, or says nothing for half a second ─▶ the next ─ … ─▶ the first session wins
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence

import structlog

from agent.duplex import Capacity, DuplexError, EngineFull, EngineUnavailable, RolePrompt
from agent.engines.remote.address import Address
from agent.engines.remote.host import SLOW_S, Host
from agent.engines.remote.session import RemoteSession

log = structlog.get_logger(__name__)


class RemoteEngine:
    """Carries as many calls as the servers do, at most ``slots`` at once; 0 leaves that to them."""

    name = "remote"

    def __init__(self, addresses: Sequence[Address], slots: int) -> None:
        self._hosts = [Host(address) for address in addresses]
        self._slots = slots
        self._opening = 0

    async def start(self) -> None:
        """Ask each server how many calls it carries; one that is not up yet is asked again by a call."""
        await asyncio.gather(*(host.ask() for host in self._hosts))
        for host in self._hosts:
            if not host.slots:
                log.warning("the engine's server does not answer yet", url=host.url)

    async def open(self, role: RolePrompt) -> RemoteSession:
        """Connect, which reserves the slot; see ``agent.duplex.DuplexEngine.open``."""
        hosts = self._in_turn()
        if not hosts:
            raise EngineFull(f"All {self.capacity().slots} slots of the engine 'remote' are taken.")
        self._opening += 1
        try:
            return await self._first(hosts, role)
        finally:
            self._opening -= 1

    def capacity(self) -> Capacity:
        hosts = self._hosts
        return Capacity(
            slots=self._slots or sum(max(host.slots, host.calls) for host in hosts),
            used=sum(host.calls for host in hosts) + self._opening,
        )

    async def close(self) -> None:
        await asyncio.gather(*(host.close() for host in self._hosts))

    def _in_turn(self) -> list[Host]:
        """Return whom to ask, the least busy first and those that were away last; nobody if all slots are taken."""
        if self._slots:
            hosts = self._hosts if self.capacity().used < self._slots else []
        else:
            hosts = [host for host in self._hosts if not host.slots or host.used < host.slots]
        return sorted(hosts, key=lambda host: (host.rests, host.load, random.random()))  # noqa: S311

    async def _first(self, hosts: Sequence[Host], role: RolePrompt) -> RemoteSession:
        """Return the first session that a host gives; what others give after it is closed again."""
        opened: asyncio.Future[RemoteSession] = asyncio.get_running_loop().create_future()
        failures: list[DuplexError] = []
        try:
            async with asyncio.TaskGroup() as group:
                turn, asked = deque(hosts), set[asyncio.Task[None]]()
                while not opened.done() and (turn or asked):
                    if turn:
                        asked.add(group.create_task(_ask(turn.popleft(), role, opened, failures)))
                    patience_s = SLOW_S if turn else None
                    _, asked = await asyncio.wait(asked, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                for task in asked:
                    task.cancel()
        except BaseException:
            if opened.done():
                await opened.result().close()
            raise
        if opened.done():
            return opened.result()
        sentences = " ".join(dict.fromkeys(str(failure) for failure in failures))
        full = [failure for failure in failures if isinstance(failure, EngineFull)]
        if len(hosts) < len(self._hosts):
            sentences += " All slots of the other engines are taken."
        if full or len(hosts) < len(self._hosts):
            raise EngineFull(sentences, min((each.retry_after_s for each in full if each.retry_after_s), default=None))
        raise EngineUnavailable(sentences)


async def _ask(
    host: Host, role: RolePrompt, opened: "asyncio.Future[RemoteSession]", failures: list[DuplexError]
) -> None:
    try:
        session = await host.open(role)
    except DuplexError as error:
        failures.append(error)
        return
    if opened.done():
        await session.close()
    else:
        opened.set_result(session)
