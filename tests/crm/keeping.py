"""Calls as they lie in a log after years: with everything personal that one can have."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import text, update

from crm.call import AskedEnding, CallEvent, Handoff, KnownCaller, NewCall, Scorecard, Transfer, Turn, Verdict
from crm.customer import Customer
from crm.customers import Customers
from crm.erasure import Erasures
from crm.holds import Holds
from crm.keeping import Keeper, Limits
from crm.recordings import Recordings
from crm.store import CallStore
from crm.tables import CallRow
from crm.tracks import TrackWriter
from personas.audit import Actor
from personas.db import Base

ANN, BOB = "+493012345671", "+12025550143"
SECRET = "my-password-is-mellon"
"""Stands wherever something personal may be; after erasing it stands nowhere."""


class Archive:
    """A log with calls in it, its folder of recordings, and what keeps both."""

    def __init__(self, store: CallStore, folder: Path, new_call: Callable[..., NewCall]) -> None:
        self.store, self.recordings, self._new_call = store, Recordings(folder / "recordings"), new_call
        self.database = store.database
        self.erasures = Erasures(store.database, self.recordings, rests=0)
        self.customers = Customers(store.database)
        self.holds = Holds(store.database, Actor("ann"))

    def keeper(self, calls_days: int = 0, recordings_days: int = 0) -> Keeper:
        return Keeper(self.erasures, Limits(calls_days, recordings_days))

    async def call(self, name: str, number: str = ANN, *, days_ago: float = 0, part: int = 1) -> str:
        """Log a call that has ended, with a secret in every field that may hold one; return its id."""
        call_id = await self.live(name, number, part=part)
        recording = self.record(call_id, days_ago)
        await self.store.request_ending(call_id, AskedEnding("agent_hung_up", SECRET))
        await self.store.finish(
            call_id,
            status="ended",
            outcome="caller_hung_up",
            reason=SECRET,
            duration_ms=9_000,
            recording=recording,
            turns=[Turn("caller", 0, 900, SECRET), Turn("agent", 1_000, 1_900, f"You said {SECRET}.")],
            events=[CallEvent("digit", 5, SECRET)],
            transfers=[Transfer(1_000, 100)],
            timing={"endpoint_ms": 200},
            dynamics={"onset": {"p50_ms": 100}, "dead_air_count": 1},
            handoff=Handoff("cold", number, "operator", SECRET),
        )
        await self.store.save_voicemail(call_id, f"https://api.twilio.com/{SECRET}")
        verdicts = tuple(
            Verdict(name, "Says so", result, "critical", 1.0, SECRET, 1, SECRET)  # pyright: ignore[reportArgumentType]
            for name, result in (("kept", "pass"), ("broken", "fail"))
        )
        await self.store.save_score(call_id, None, Scorecard("rules 1", "0" * 64, 0.5, 1.0, verdicts))
        await self.move(call_id, days_ago)
        return call_id

    async def live(self, name: str, number: str = ANN, *, part: int = 1) -> str:
        new = self._new_call(name, from_number=number, role_prompt=SECRET, account_id="AC1", part=part)
        new = replace(new, customer=KnownCaller(SECRET, SECRET), events=(CallEvent("customer_lookup", 0, SECRET),))
        opened = await self.store.open_call(new)
        return (await self.store.claim(name, "AC1", opened.nonce)).id

    def record(self, call_id: str, days_ago: float) -> str:
        """Write every kind of file that a call may have; return the path of its recording."""
        day = datetime.now(UTC) - timedelta(days_ago)
        recording = f"{day:%Y/%m/%d}/{call_id}.wav"
        writer = TrackWriter(self.recordings.folder / recording)
        writer.place("caller", 0, np.full(800, 9, np.int16))
        writer.close(800)
        self.recordings.peaks(recording)
        for path in (self.recordings.journal(call_id), self.recordings.unsaved(call_id)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(SECRET)
            path.with_name(f".{path.name}.torn").write_text(SECRET)
        return recording

    async def move(self, call_id: str, days_ago: float) -> None:
        at = datetime.now(UTC) - timedelta(days_ago)
        async with self.database.session() as session:
            await session.execute(update(CallRow).where(CallRow.id == call_id).values(created_at=at))

    async def know(self, number: str = ANN) -> None:
        await self.customers.save(Customer((number,), f"Ann {SECRET}", f"Her profile: {SECRET}"))

    def files(self) -> set[str]:
        """Return every file there is, tombstones aside."""
        folder = self.recordings.folder
        every = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        return {path for path in every if not path.startswith("erased/")}

    async def traces(self, *of: str) -> list[str]:
        """Return the tables and files in which a text still stands."""
        found = []
        async with self.database.session() as session:
            for table in Base.metadata.sorted_tables:
                for row in (await session.execute(text(f"SELECT * FROM {table.name}"))).all():
                    found += [table.name for each in of if each in repr(tuple(row))]
        for path in self.recordings.folder.rglob("*"):
            if path.is_file() and any(each.encode() in path.read_bytes() or each in path.name for each in of):
                found.append(str(path))
        return found
