"""How a call came to its end; whatever ends it first is what its row says."""

import asyncio
from dataclasses import dataclass

from crm.call import Handoff, Outcome


@dataclass(frozen=True, slots=True)
class Ending:
    """An outcome, and for what went wrong a sentence for the operator; ``handoff`` gives the call to a human."""

    outcome: Outcome
    reason: str = ""
    handoff: Handoff | None = None


CALLER_HUNG_UP = Ending("caller_hung_up")
AGENT_HUNG_UP = Ending("agent_hung_up")
KEY_PRESSED = Ending("agent_hung_up", "The caller pressed the key that ends the call.")
SOCKET_DROPPED = Ending("stream_failed", "The media socket closed without a stop message.")


class CallEnd:
    """Settled once; processors settle it, the call waits for it."""

    def __init__(self) -> None:
        self._settled = asyncio.Event()
        self._ending: Ending | None = None

    def settle(self, ending: Ending) -> None:
        """End the call like this, unless it has ended already."""
        if self._ending is None:
            self._ending = ending
            self._settled.set()

    @property
    def ending(self) -> Ending | None:
        """How it ended, None while it lives."""
        return self._ending

    async def wait(self) -> Ending:
        """Return how the call ended, once it has."""
        await self._settled.wait()
        assert self._ending is not None
        return self._ending
