"""Scores calls as they end, in a process of its own: nothing of it ever delays a call.

no score ──────────────▶ lane ─▶ score_and_store
its judge is to come ──▶ lane ─▶ judge_late
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from crm.call import Scorecard
from crm.errors import CrmError, JudgeUnavailable
from crm.scoring import judge_late, score_and_store
from crm.scoring.controls import ProvenJudge
from crm.store import CallStore
from personas.store import PersonaStore

log = structlog.get_logger(__name__)

LOOKS_EVERY_S = 2.0  # a database tells nobody that a call has ended
JUDGED_AT_ONCE = 4
_SLOWEST_LOOK_S = 60.0

Tell = Callable[[str, Scorecard], None]


async def score_as_they_end(
    store: CallStore,
    personas: PersonaStore,
    stop: asyncio.Event,
    tell: Tell,
    every_s: float = LOOKS_EVERY_S,
    judge: ProvenJudge | None = None,
) -> None:
    """Score each call that has none until ``stop``; ``tell`` gets its id and scorecard.

    With a ``judge``, for which scoring mostly waits, several calls at a time; and those that it could not be asked
    about before, beside them. Several scorers share the calls of a database.

    A database that is away is asked again, ever less often. A call that can't be scored is tried once.
    """
    hopeless: set[str] = set()

    async def score(call_id: str) -> None:
        try:
            tell(call_id, await score_and_store(store, personas, call_id, judge))
        except CrmError as error:
            hopeless.add(call_id)
            await _give_up(store, call_id, error)

    lanes = [_Lane(lambda: store.take_unscored(hopeless), score, lambda id: store.put_off(id, None), every_s)]
    if judge:
        lanes[0].at_once = JUDGED_AT_ONCE
        lanes.append(_late_lane(store, personas, judge, tell, every_s))
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(lane.run()) for lane in lanes]
        await stop.wait()
        for task in running:
            task.cancel()


def _late_lane(store: CallStore, personas: PersonaStore, judge: ProvenJudge, tell: Tell, every_s: float) -> "_Lane":
    async def take() -> str | None:
        try:
            await judge.prove()
        except JudgeUnavailable:
            return None
        return await store.take_unjudged()

    async def score(call_id: str) -> None:
        try:
            if card := await judge_late(store, personas, call_id, judge):
                tell(call_id, card)
        except CrmError as error:
            await _give_up(store, call_id, error)

    return _Lane(take, score, lambda id: store.put_off(id, datetime.now(UTC)), every_s, JUDGED_AT_ONCE)


async def _give_up(store: CallStore, call_id: str, error: CrmError) -> None:
    log.warning("call can't be scored", call_id=call_id, reason=str(error))
    await store.put_off(call_id, None)


@dataclass
class _Lane:
    """Takes calls of one kind and scores ``at_once`` of them; what is broken off is given back for others to take."""

    take: Callable[[], Awaitable[str | None]]
    score: Callable[[str], Awaitable[None]]
    give_back: Callable[[str], Awaitable[None]]
    every_s: float
    at_once: int = 1
    _is_idle: bool = field(default=False, init=False)
    _trouble_s: float = field(default=0.0, init=False)

    async def run(self) -> None:
        """Go on until cancelled."""
        free = asyncio.Semaphore(self.at_once)

        async def work(call_id: str) -> None:
            try:
                await self._work(call_id)
            finally:
                free.release()

        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(max(self._trouble_s, self.every_s if self._is_idle else 0.0))
                await free.acquire()
                if call_id := await self._taken():
                    group.create_task(work(call_id))
                else:
                    free.release()

    async def _taken(self) -> str | None:
        try:
            call_id = await self.take()
        except (SQLAlchemyError, OSError) as error:
            self._slow_down(error)
            return None
        self._is_idle = call_id is None
        if self._is_idle:
            self._trouble_s = 0.0
        return call_id

    async def _work(self, call_id: str) -> None:
        try:
            await self.score(call_id)
            self._trouble_s = 0.0
        except BaseException as error:
            with suppress(SQLAlchemyError, OSError):
                await self.give_back(call_id)
            if not isinstance(error, (SQLAlchemyError, OSError)):
                raise
            self._slow_down(error)

    def _slow_down(self, error: Exception) -> None:
        self._trouble_s = min(2 * max(self._trouble_s, self.every_s), _SLOWEST_LOOK_S)
        log.warning("the database does not answer", error=type(error).__name__, again_in_s=self._trouble_s)
