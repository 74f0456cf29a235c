"""What a name leads to. A resolver that hangs keeps nobody waiting but a thread of its own.

look ─▶ thread ─▶ the system's resolver ─▶ addresses, kept until it tells others
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from threading import Thread

LOOK_UP_S = 2.0
"""How long an answer is waited for; one that comes later is taken by the next look."""

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a name and a port, in any order, also twice; blocks, and raises OSError."""


def ask_system(name: str, port: int) -> list[str]:
    """Return a name's addresses of both kinds, as the system finds them: hosts file, DNS and what else it asks.

    Raises:
        OSError: it finds none.
    """
    return [str(found[4][0]) for found in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]


class Name:
    """``addresses`` is what was last told, each once; ``trouble`` says why the latest look told nothing, else empty."""

    def __init__(self, host: str, port: int, resolve: Resolve) -> None:
        self.addresses: tuple[str, ...] = ()
        self.trouble = ""
        self._host = host
        self._port = port
        self._resolve = resolve
        self._looking: asyncio.Future[None] | None = None

    async def look(self) -> None:
        """Look the name up, ``LOOK_UP_S`` long at most; a look that still hangs is joined: threads don't add up."""
        if self._looking is None:
            self._looking = self._begin()
        answered, _ = await asyncio.wait([self._looking], timeout=LOOK_UP_S)
        if not answered:
            self.trouble = f"no answer within {LOOK_UP_S:g} seconds"

    def _begin(self) -> "asyncio.Future[None]":
        loop = asyncio.get_running_loop()
        looking: asyncio.Future[None] = loop.create_future()

        def look() -> None:
            found, trouble = (), "no address"
            try:
                found = self._resolve(self._host, self._port)
            except Exception as error:  # whatever it is: the next look must not wait for this one
                trouble = getattr(error, "strerror", None) or str(error) or type(error).__name__
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._learn, looking, found, trouble)

        # Neither asyncio's threads, which others need, nor one that the process would wait for at its end.
        Thread(target=look, name="engine-name", daemon=True).start()
        return looking

    def _learn(self, looking: "asyncio.Future[None]", found: Sequence[str], trouble: str) -> None:
        self._looking = None
        self.addresses = tuple(dict.fromkeys(found)) or self.addresses
        self.trouble = "" if found else trouble
        looking.set_result(None)
