"""What a call costs the log: opened, connected, ended with its words, scored, one after the other."""

import asyncio
import time
from dataclasses import dataclass, field
from uuid import uuid4

from sqlalchemy import select

from crm.call import NewCall, Transfer
from crm.store import CallStore
from crm.tables import CallRow
from personas.db import Database

STEPS = ("open", "connect", "end", "score")
_PAUSE_S = 0.02


@dataclass(slots=True)
class Steps:
    """Milliseconds of each step, a figure a call."""

    ms: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})


async def write_calls(database: Database, calls: int, stop: asyncio.Event | None = None) -> Steps:
    """Log ``calls`` calls like one that is there, or as many as it takes until ``stop``."""
    store, found = CallStore(database, "bench:1"), Steps()
    like = await _like(store)
    turns, (score, *_) = await store.turns(like), await store.scores(like)
    transfers = [Transfer(turn.start_ms, 500) for turn in turns if turn.side == "agent"]
    call, dynamics = await store.call(like), await store.dynamics(like)
    number = 0
    while not stop.is_set() if stop else number < calls:
        number += 1
        name = f"CB{uuid4().hex}"
        new = NewCall(
            carrier="twilio",
            carrier_call_id=name,
            account_id="AC1",
            from_number=f"+1556{number:07}",
            to_number=call.to_number,
            persona_slug=call.persona_slug,
            persona_version_id=call.persona_version_id,
            persona_title=call.persona_title,
            engine=call.engine,
            role_prompt=call.role_prompt,
        )
        marks = [time.perf_counter()]
        opened = await store.open_call(new)
        marks.append(time.perf_counter())
        await store.claim(name, "AC1", opened.nonce)
        marks.append(time.perf_counter())
        await store.finish(
            opened.call.id,
            status="ended",
            outcome="caller_hung_up",
            duration_ms=call.duration_ms,
            turns=turns,
            transfers=transfers,
            dynamics=dynamics,
        )
        marks.append(time.perf_counter())
        await store.save_score(opened.call.id, call.persona_version_id, score.card)
        marks.append(time.perf_counter())
        for step, begin_s, end_s in zip(STEPS, marks, marks[1:], strict=False):
            found.ms[step].append(1000 * (end_s - begin_s))
        await asyncio.sleep(_PAUSE_S)
    return found


async def _like(store: CallStore) -> str:
    """Return the id of a call that has words and a score."""
    query = select(CallRow.id).where(CallRow.status == "ended", CallRow.score.is_not(None), CallRow.turn_count > 0)
    async with store.database.session() as session:
        return (await session.scalars(query.order_by(CallRow.created_at.desc()).limit(1))).one()
