"""Scores calls as they end, in a process of its own: nothing of it ever delays a call."""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from crm.call import Scorecard
from crm.errors import CrmError
from crm.scoring import score_and_store
from crm.store import CallStore
from personas.store import PersonaStore

log = structlog.get_logger(__name__)

LOOKS_EVERY_S = 2.0  # a database tells nobody that a call has ended
_SLOWEST_LOOK_S = 60.0


async def score_as_they_end(
    store: CallStore,
    personas: PersonaStore,
    stop: asyncio.Event,
    tell: Callable[[str, Scorecard], None],
    every_s: float = LOOKS_EVERY_S,
) -> None:
    """Score each call that has none until ``stop``; ``tell`` gets its id and scorecard.

    A database that is away is asked again, ever less often. A call that can't be scored is tried once.
    """
    hopeless: set[str] = set()
    pause_s = every_s
    while not stop.is_set():
        try:
            for call_id in await store.unscored(100 + len(hopeless)):
                if stop.is_set():
                    return
                if call_id not in hopeless:
                    await _score(store, personas, call_id, hopeless, tell)
            pause_s = every_s
        except (SQLAlchemyError, OSError) as error:
            pause_s = min(2 * pause_s, _SLOWEST_LOOK_S)
            log.warning("the database does not answer", error=type(error).__name__, again_in_s=pause_s)
        try:
            async with asyncio.timeout(pause_s):
                await stop.wait()
        except TimeoutError:
            continue


async def _score(
    store: CallStore,
    personas: PersonaStore,
    call_id: str,
    hopeless: set[str],
    tell: Callable[[str, Scorecard], None],
) -> None:
    try:
        tell(call_id, await score_and_store(store, personas, call_id))
    except CrmError as error:
        hopeless.add(call_id)
        log.warning("call can't be scored", call_id=call_id, reason=str(error))
