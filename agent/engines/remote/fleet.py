"""Which servers there are: names are looked up and hosts asked every few seconds, and at once when one is away.

PARLEY_ENGINE_URL ─ names ─▶ addresses ─ a Host each ─ /health ─▶ slots, instance ─▶ Servers
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from agent.engines.remote.address import Address
from agent.engines.remote.host import Host
from agent.engines.remote.names import Name, Resolve

LOOK_S = 5.0
"""How soon an engine that comes is used, and one that drains or is gone is not."""

LEAST_LOOK_S = 1.0
"""How long calls that find hosts away wait for the next look, at least."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """One process, and the hosts that lead to it, the best first."""

    hosts: Sequence[Host]

    @property
    def told_slots(self) -> int:
        return max(host.slots for host in self.hosts)

    @property
    def slots(self) -> int:
        return max(self.told_slots, self.calls)

    @property
    def calls(self) -> int:
        return sum(host.calls for host in self.hosts)

    @property
    def used(self) -> int:
        """Slots that calls have, or are asking for."""
        return sum(host.used for host in self.hosts)

    @property
    def load(self) -> float:
        """Calls over slots."""
        return self.used / max(self.told_slots, 1)

    @property
    def is_full(self) -> bool:
        """Whether it has told slots and all are taken."""
        return 0 < self.told_slots <= self.used


class Fleet:
    """The servers behind ``addresses``."""

    def __init__(self, addresses: Sequence[Address], resolve: Resolve) -> None:
        self._addresses = addresses
        self._names = {each: Name(each.host, each.port, resolve) for each in addresses if not each.is_literal}
        self._hosts: dict[tuple[Address, str], Host] = {}
        self._look_now = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        for address in addresses:
            if address.is_literal:
                self._add(address, address.host)

    @property
    def hosts(self) -> list[Host]:
        """Every address that is known, but for those that left the DNS."""
        return [host for host in self._hosts.values() if not host.has_left]

    @property
    def servers(self) -> list[Server]:
        """Hosts that tell one instance are one server; of one name, those that tell none are."""
        same: dict[str | Address, list[Host]] = {}
        for host in self.hosts:
            same.setdefault(host.server, []).append(host)
        return [Server(sorted(hosts, key=lambda host: (host.is_doubtful, -host.calls))) for hosts in same.values()]

    @property
    def drains(self) -> bool:
        """Whether any of them takes no more calls and lets live ones end."""
        return any(host.drains for host in self.hosts)

    @property
    def calls_left_behind(self) -> int:
        """Calls that live on addresses that have left the DNS."""
        return sum(host.calls for host in self._hosts.values() if host.has_left)

    @property
    def trouble(self) -> str:
        """Why no host is known, a sentence; empty where one is."""
        if self._hosts:
            return ""
        names = ", ".join(f"{address.host} ({name.trouble})" for address, name in self._names.items())
        return f"No address is known of the engine's servers: {names}; check PARLEY_ENGINE_URL."

    async def start(self) -> None:
        """Look once, and go on looking until ``close``."""
        await self.look()
        for address in self._addresses:
            if not any(host.slots for host in self._of(address)):
                log.warning("the engine's server does not answer yet", url=address.url)
        # The one task that close() ends and awaits.
        self._watch = asyncio.get_running_loop().create_task(self._keep_looking(), name="remote-fleet")

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await asyncio.gather(*(host.close() for host in self._hosts.values()))

    async def find(self) -> None:
        """Look up the names, without asking their hosts anything."""
        await asyncio.gather(*(self._find(address) for address in self._addresses))

    async def look(self) -> None:
        """Look up the names and ask the hosts what they carry; nobody is waited for longer than seconds."""
        await asyncio.gather(*(self._look_at(address) for address in self._addresses))

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LEAST_LOOK_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S - LEAST_LOOK_S):
                    await self._look_now.wait()
            self._look_now.clear()
            try:
                await self.look()
            except Exception as failure:  # calls go on with what is known
                log.error("engines could not be looked for", error=type(failure).__name__, exc_info=failure)

    async def _look_at(self, address: Address) -> None:
        found = await self._find(address)
        await asyncio.gather(*(host.ask() for host in self._of(address)))
        self._let_go(address, found)

    async def _find(self, address: Address) -> Sequence[str]:
        """Have a host for each address there is; return the addresses."""
        name = self._names.get(address)
        if name is None:
            return (address.host,)
        before = name.trouble
        await name.look()
        if name.trouble and not before:
            log.warning("the engine's name can't be looked up", name=address.host, why=name.trouble)
        found = name.addresses
        for at in found:
            self._add(address, at)
        return found

    def _add(self, address: Address, at: str) -> None:
        if (address, at) not in self._hosts:
            self._hosts[address, at] = Host(address, at, self._look_now.set)
        self._hosts[address, at].has_left = False

    def _let_go(self, address: Address, found: Sequence[str]) -> None:
        """What the name leads to no more carries its calls to their end, and takes no other."""
        for (of, at), host in list(self._hosts.items()):
            if of == address and at not in found:
                host.has_left = True
                if not host.used:
                    del self._hosts[of, at]

    def _of(self, address: Address) -> list[Host]:
        return [host for (of, _), host in self._hosts.items() if of == address and not host.has_left]
