"""The queries about scores: a part of ``crm.store.CallStore``."""

from datetime import UTC, datetime

from sqlalchemy import insert, select

from crm import rows
from crm.call import Scorecard, StoredScore
from crm.queries import known
from crm.tables import CallRow, ScoreRow, VerdictRow
from personas.db import Database


class ScoreQueries:
    """What a call store knows of scores."""

    database: Database

    async def save_score(self, call_id: str, persona_version_id: int | None, card: Scorecard) -> None:
        """Add a score to a call; earlier ones stay.

        Raises:
            UnknownCall: there is no such call.
        """
        now = datetime.now(UTC)
        async with self.database.session() as session:
            call = await known(session, call_id)
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
            call.scored_at, call.score, call.coverage = now, card.score, card.coverage
            call.failed_critical = sum(v.result == "fail" and v.severity == "critical" for v in card.verdicts)
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

    async def unscored(self, limit: int = 100) -> list[str]:
        """Return ids of calls that have turns and a persona version but no score, oldest first."""
        query = (
            select(CallRow.id)
            .where(CallRow.scored_at.is_(None), CallRow.turn_count > 0, CallRow.persona_version_id.is_not(None))
            .order_by(CallRow.created_at)
            .limit(limit)
        )
        async with self.database.session() as session:
            return list((await session.execute(query)).scalars())

    async def scorable(self) -> list[str]:
        """Return ids of all calls that have turns and a persona version, oldest first."""
        query = select(CallRow.id).where(CallRow.turn_count > 0, CallRow.persona_version_id.is_not(None))
        async with self.database.session() as session:
            return list((await session.execute(query.order_by(CallRow.created_at))).scalars())
