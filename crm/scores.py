"""The queries about scores: a part of ``crm.store.CallStore``.

A scorer takes a call, which is its own for ``LEASE``; of several no two do the same work, and one that dies loses none.

unscored ──take──▶ save_score ──▶ scored │ its judge is to come ──take──▶ save_score │ put_off
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import Boolean, ColumnElement, UnaryExpression, and_, insert, literal_column, or_, select, update

from crm import rows
from crm.call import JudgeWait, Scorecard, StoredScore
from crm.errors import CannotScore
from crm.queries import is_kept, known
from crm.tables import UNSCORED, CallRow, ScoreRow, VerdictRow
from personas.db import Database

LEASE = timedelta(minutes=10)
"""A judge slower than that may be asked twice about a call; nothing else happens."""
_SCORABLE = (CallRow.turn_count > 0, CallRow.persona_version_id.is_not(None), is_kept())


class ScoreQueries:
    """What a call store knows of scores."""

    database: Database

    async def save_score(
        self, call_id: str, persona_version_id: int | None, card: Scorecard, judge: JudgeWait | None = None
    ) -> None:
        """Add a score to a call; earlier ones stay. ``judge`` is given where its judge is still to come.

        Raises:
            UnknownCall: there is no such call.
            CannotScore: it was erased meanwhile.
        """
        now = datetime.now(UTC)
        latest = {"scored_at": now, "score": card.score, "coverage": card.coverage}
        latest["failed_critical"] = sum(v.result == "fail" and v.severity == "critical" for v in card.verdicts)
        latest["score_due_at"], latest["judge_tries"] = (judge.due, judge.tries) if judge else (None, 0)
        noted = update(CallRow).where(CallRow.id == call_id, is_kept()).values(**latest).returning(CallRow.id)
        async with self.database.session() as session:
            if await session.scalar(noted) is None:
                await known(session, call_id)
                raise CannotScore("The call was erased while it was being scored.")
            row = ScoreRow(
                call_id=call_id,
                persona_version_id=persona_version_id,
                rubric_hash=card.rubric_hash,
                scorer=card.scorer,
                score=card.score,
                coverage=card.coverage,
                created_at=now,
            )
            session.add(row)
            await session.flush()
            lines = [rows.verdict_values(row.id, position, verdict) for position, verdict in enumerate(card.verdicts)]
            if lines:
                await session.execute(insert(VerdictRow), lines)

    async def scores(self, call_id: str) -> list[StoredScore]:
        """Return a call's scores with their verdicts, latest first."""
        heads = select(ScoreRow).where(ScoreRow.call_id == call_id).order_by(ScoreRow.id.desc())
        async with self.database.session() as session:
            found = list((await session.execute(heads)).scalars())
            body = select(VerdictRow).where(VerdictRow.score_id.in_([row.id for row in found]))
            lines = list((await session.execute(body.order_by(VerdictRow.position))).scalars())
        return [rows.score(row, [line for line in lines if line.score_id == row.id]) for row in found]

    async def take_unscored(self, but: Collection[str] = ()) -> str | None:
        """Take a call that has turns and a persona version but no score, oldest first; None where there is none."""
        is_free = or_(CallRow.score_due_at.is_(None), CallRow.score_due_at <= datetime.now(UTC))
        has_words = literal_column(UNSCORED, Boolean)  # as its index has it, not as parameters
        wanted = (has_words, CallRow.persona_version_id.is_not(None), CallRow.id.not_in(list(but)), is_free)
        return await self._take(wanted, CallRow.created_at.asc())

    async def take_unjudged(self, but: Collection[str] = (), *, given_up: bool = False) -> str | None:
        """Take a scored call whose judge is to come, newest first; None where there is none.

        With ``given_up`` also those at which it has failed too often.
        """
        is_due = CallRow.score_due_at <= datetime.now(UTC)
        if given_up:
            is_due |= and_(CallRow.score_due_at.is_(None), CallRow.judge_tries > 0)
        wanted = (CallRow.scored_at.is_not(None), *_SCORABLE, CallRow.id.not_in(list(but)), is_due)
        return await self._take(wanted, CallRow.created_at.desc())

    async def _take(self, wanted: Collection[ColumnElement[bool]], order: UnaryExpression[datetime]) -> str | None:
        first = select(CallRow.id).where(*wanted).order_by(order).limit(1)
        while True:
            async with self.database.session() as session:
                call_id = await session.scalar(first)
            if call_id is None:
                return None
            mine = update(CallRow).where(CallRow.id == call_id, *wanted).returning(CallRow.id)
            async with self.database.session() as session:
                if await session.scalar(mine.values(score_due_at=datetime.now(UTC) + LEASE)):
                    return call_id

    async def put_off(self, call_id: str, until: datetime | None, judge_tries: int | None = None) -> None:
        """Give back a call that was taken. Of a scored one None means that no judge is to come by itself."""
        values = {"score_due_at": until} | ({} if judge_tries is None else {"judge_tries": judge_tries})
        async with self.database.session() as session:
            await session.execute(update(CallRow).where(CallRow.id == call_id).values(**values))

    async def scorable(self) -> list[str]:
        """Return ids of all calls that have turns and a persona version, oldest first."""
        query = select(CallRow.id).where(*_SCORABLE).order_by(CallRow.created_at)
        async with self.database.session() as session:
            return list((await session.execute(query)).scalars())
