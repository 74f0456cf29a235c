"""Scores calls as they end, in a process of its own: nothing of it ever delays a call."""

import asyncio
from collections.abc import Callable, Iterator

import structlog
from sqlalchemy.exc import SQLAlchemyError

from crm.call import Scorecard
from crm.errors import CrmError
from crm.scoring import score_and_store
from crm.scoring.controls import ProvenJudge
from crm.store import CallStore
from personas.store import PersonaStore

log = structlog.get_logger(__name__)

LOOKS_EVERY_S = 2.0  # a database tells nobody that a call has ended
JUDGED_AT_ONCE = 4
_SLOWEST_LOOK_S = 60.0


async def score_as_they_end(
    store: CallStore,
    personas: PersonaStore,
    stop: asyncio.Event,
    tell: Callable[[str, Scorecard], None],
    every_s: float = LOOKS_EVERY_S,
    judge: ProvenJudge | None = None,
) -> None:
    """Score each call that has none until ``stop``; ``tell`` gets its id and scorecard.

    With a ``judge``, for which scoring mostly waits, several calls at a time.

    A database that is away is asked again, ever less often. A call that can't be scored is tried once.
    """
    hopeless: set[str] = set()
    pause_s = every_s
    while not stop.is_set():
        try:
            waiting = iter([each for each in await store.unscored(100 + len(hopeless)) if each not in hopeless])

            async def work(waiting: Iterator[str] = waiting) -> None:
                for call_id in waiting:
                    if stop.is_set():
                        return
                    await _score(store, personas, call_id, judge, hopeless, tell)

            async with asyncio.TaskGroup() as group:
                for _ in range(JUDGED_AT_ONCE if judge else 1):
                    group.create_task(work())
            pause_s = every_s
        except* (SQLAlchemyError, OSError) as errors:
            pause_s = min(2 * pause_s, _SLOWEST_LOOK_S)
            log.warning("the database does not answer", error=type(errors.exceptions[0]).__name__, again_in_s=pause_s)
        try:
            async with asyncio.timeout(pause_s):
                await stop.wait()
        except TimeoutError:
            continue


async def _score(
    store: CallStore,
    personas: PersonaStore,
    call_id: str,
    judge: ProvenJudge | None,
    hopeless: set[str],
    tell: Callable[[str, Scorecard], None],
) -> None:
    try:
        tell(call_id, await score_and_store(store, personas, call_id, judge))
    except CrmError as error:
        hopeless.add(call_id)
        log.warning("call can't be scored", call_id=call_id, reason=str(error))
