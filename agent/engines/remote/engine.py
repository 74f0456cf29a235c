"""The port's side of other processes' engines: which of them takes a call.

open ─▶ the least busy server ─ refuses, or says nothing for half a second ─▶ the next ─ … ─▶ the first session wins
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence

from agent.duplex import Capacity, DuplexError, EngineFull, EngineUnavailable, RolePrompt
from agent.engines.remote.address import Address
from agent.engines.remote.fleet import Fleet
from agent.engines.remote.host import SLOW_S, Host
from agent.engines.remote.names import Resolve, ask_system
from agent.engines.remote.session import RemoteSession


class RemoteEngine:
    """Carries as many calls as the servers do, at most ``slots`` at once; 0 leaves that to them."""

    name = "remote"

    def __init__(self, addresses: Sequence[Address], slots: int, resolve: Resolve = ask_system) -> None:
        self._fleet = Fleet(addresses, resolve)
        self._slots = slots
        self._opening = 0

    async def start(self) -> None:
        """Find the servers and ask each how many calls it carries; one that is not up yet is asked again."""
        await self._fleet.start()

    async def open(self, role: RolePrompt) -> RemoteSession:
        """Connect, which reserves the slot; see ``agent.duplex.DuplexEngine.open``."""
        if not self._fleet.hosts:
            await self._fleet.find()
        if trouble := self._fleet.trouble:
            raise EngineUnavailable(trouble)
        hosts = self._in_turn()
        if not hosts:
            raise EngineFull(f"All {self.capacity().slots} slots of the engine 'remote' are taken.")
        self._opening += 1
        try:
            return await self._first(hosts, role)
        finally:
            self._opening -= 1

    def capacity(self) -> Capacity:
        servers, left_behind = self._fleet.servers, self._fleet.calls_left_behind
        slots = sum(server.slots for server in servers) + left_behind
        used = sum(server.calls for server in servers) + left_behind + self._opening
        if self._slots:  # the operator's word, but no free slot of a server that drains
            slots = min(slots, self._slots) if self._fleet.drains else self._slots
        return Capacity(slots, used)

    async def close(self) -> None:
        await self._fleet.close()

    def _in_turn(self) -> list[Host]:
        """Return whom to ask, the least busy first, those that were away last; nobody if all slots are taken."""
        if self._slots and self.capacity().used >= self._slots:
            return []
        servers = [server for server in self._fleet.servers if self._slots or not server.is_full]
        random.shuffle(servers)
        servers.sort(key=lambda server: server.load)
        ranked = [(host.is_doubtful, rank, host) for server in servers for rank, host in enumerate(server.hosts)]
        return [host for *_, host in sorted(ranked, key=lambda each: each[:2])]

    async def _first(self, hosts: Sequence[Host], role: RolePrompt) -> RemoteSession:
        """Return the first session that a host gives; what others give after it is closed again."""
        opened: asyncio.Future[RemoteSession] = asyncio.get_running_loop().create_future()
        failures: list[DuplexError] = []
        are_others_full = len(hosts) < len(self._fleet.hosts)
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
        if are_others_full:
            sentences += " All slots of the other engines are taken."
        if full or are_others_full:
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
