"""What comes next, decided in time: who would wait for it in silence hears it ring, and asks again.

NextAsked ─▶ Decisions.on ─┬─ decided within a second or so ──▶ the instruction
                           └─ not yet ─▶ AskAgain ─▶ NextAsked, four seconds later, for the same decision
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from agent.line import sentences
from telephony.carrier import AskAgain, Instruction, NextAsked, SayAndHangUp

log = structlog.get_logger(__name__)

DECIDES_WITHIN_S = 1.2
MOST_ASKED = 4
"""Then the database has been away for a quarter of a minute, and every step has been given up."""
_FORGOTTEN_S = 30.0


class Decisions:
    """One process's. A request that comes to another process is decided there: all that is known is in the rows."""

    def __init__(self, group: asyncio.TaskGroup, decide: Callable[[NextAsked], Awaitable[Instruction]]) -> None:
        self._group = group
        self._decide = decide
        self._late: dict[tuple[str, str, int], asyncio.Task[Instruction | Exception]] = {}

    async def on(self, asked: NextAsked) -> Instruction:
        """Return what comes next, which may be to ask again; raises what ``decide`` does."""
        about = asked.call_id, asked.after, asked.part
        deciding = self._late.pop(about, None) or self._group.create_task(self._decided(asked))
        await asyncio.wait((deciding,), timeout=DECIDES_WITHIN_S)
        if deciding.done():
            if isinstance(decided := deciding.result(), Exception):
                raise decided
            return decided
        log.warning("decision takes long", after=asked.after, again=asked.again)
        if asked.again >= MOST_ASKED:
            return SayAndHangUp(sentences.APOLOGY)
        self._late[about] = deciding
        asyncio.get_running_loop().call_later(_FORGOTTEN_S, self._late.pop, about, None)
        return AskAgain(asked, "" if asked.again or asked.after == "wait" else sentences.ONE_MOMENT)

    async def _decided(self, asked: NextAsked) -> Instruction | Exception:
        try:
            return await self._decide(asked)
        except Exception as error:  # what a task raises would end the calls beside it
            return error
