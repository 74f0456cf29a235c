"""Tables of the log; no class of this module leaves crm."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from personas import tables as _personas  # noqa: F401  persona_versions, which calls refer to
from personas.db import Base, UtcDateTime

UNSCORED = "scored_at IS NULL AND turn_count > 0"
"""Calls that have words and no score: few, whatever became of the others. As text, for both databases' planners."""


class CallRow(Base):
    """A call. ``gateway`` is the process that has it; ``score``, ``coverage`` and
    ``failed_critical`` repeat the latest score, so that lists and sums read one table. ``score_due_at`` is when a
    scorer may next take it, and ``judge_tries`` how often its judge has failed (crm/scores.py). ``handoff`` and
    ``asked`` hold the fields of Handoff and AskedEnding, ``customer`` those of KnownCaller, ``hold`` those of Hold;
    ``erasing`` and ``erased`` are as in Call.
    """

    __tablename__ = "calls"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    carrier: Mapped[str] = mapped_column(String(32))
    carrier_call_id: Mapped[str] = mapped_column(String(128))
    account_id: Mapped[str] = mapped_column(String(128))
    from_number: Mapped[str] = mapped_column(String(256))
    to_number: Mapped[str] = mapped_column(String(256))
    persona_slug: Mapped[str | None] = mapped_column(String(64))
    persona_version_id: Mapped[int | None] = mapped_column(ForeignKey("persona_versions.id", ondelete="SET NULL"))
    persona_title: Mapped[str] = mapped_column(Text)
    engine: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    outcome: Mapped[str] = mapped_column(String(32), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    role_prompt: Mapped[str] = mapped_column(Text)
    gateway: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    recording: Mapped[str] = mapped_column(String(255), default="")
    timing: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)
    dynamics: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    turn_count: Mapped[int] = mapped_column(Integer, default=0)
    scored_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    score: Mapped[float | None] = mapped_column(Float)
    coverage: Mapped[float | None] = mapped_column(Float)
    failed_critical: Mapped[int | None] = mapped_column(Integer)
    score_due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    judge_tries: Mapped[int] = mapped_column(Integer, default=0)
    part: Mapped[int] = mapped_column(Integer, default=1)
    continues: Mapped[str | None] = mapped_column(ForeignKey("calls.id", ondelete="SET NULL"))
    handoff: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    handoff_result: Mapped[str] = mapped_column(String(16), default="")
    leg_id: Mapped[str] = mapped_column(String(128), default="")
    voicemail: Mapped[str] = mapped_column(Text, default="")
    asked: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    is_test: Mapped[bool] = mapped_column(Boolean, default=False)
    customer: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    hold: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    erasing: Mapped[str] = mapped_column(String(16), default="")
    erased: Mapped[str] = mapped_column(String(16), default="")
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    __table_args__ = (
        UniqueConstraint("carrier", "carrier_call_id", "part"),
        Index("ix_calls_created_at", "created_at", "id"),
        Index("ix_calls_persona_slug", "persona_slug", "created_at", "id"),
        Index("ix_calls_status", "status", "created_at", "id"),
        Index("ix_calls_outcome", "outcome", "created_at", "id"),
        Index("ix_calls_persona_outcome", "persona_slug", "outcome", "created_at", "id"),
        Index("ix_calls_from_number", "from_number", "created_at"),
        Index("ix_calls_to_number", "to_number", "created_at"),
        Index("ix_calls_carrier_call_id", "carrier_call_id"),
        Index("ix_calls_score_due_at", "score_due_at"),
        Index("ix_calls_erasing", "erasing", "id"),
        Index("ix_calls_erased", "erased", "created_at"),
        Index("ix_calls_unscored", "created_at", sqlite_where=text(UNSCORED), postgresql_where=text(UNSCORED)),
        Index("ix_calls_tests", "created_at", "id", sqlite_where=is_test.is_(True), postgresql_where=is_test.is_(True)),
    )


class KeptDayRow(Base):
    """The sums over the calls of a day that is over, as ``crm.sums.packed`` makes them."""

    __tablename__ = "kept_days"

    begin: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    until: Mapped[datetime] = mapped_column(UtcDateTime)
    figures: Mapped[str] = mapped_column(Text)
    waits: Mapped[bytes] = mapped_column(LargeBinary)


class ChangedCallRow(Base):
    """A change of a call that began ``at``, noted by triggers (migration 0015): its day must be counted again."""

    __tablename__ = "changed_calls"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class GatewayRow(Base):
    """A process that carries calls, as in ``CallRow.gateway``, when it last said so, and what else it said."""

    __tablename__ = "gateways"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    takes_calls: Mapped[bool] = mapped_column(Boolean)
    address: Mapped[str] = mapped_column(Text)
    secret_mark: Mapped[str] = mapped_column(String(32))
    folder_mark: Mapped[str] = mapped_column(String(32))


class NonceRow(Base):
    """A way into a call's media socket, by the SHA-256 of the nonce: the nonce itself is nowhere kept."""

    __tablename__ = "call_nonces"

    nonce_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TurnRow(Base):
    """A turn; ``words`` is a list of [text, start_ms, end_ms]."""

    __tablename__ = "turns"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    side: Mapped[str] = mapped_column(String(8))
    start_ms: Mapped[int] = mapped_column(Integer)
    end_ms: Mapped[int] = mapped_column(Integer)
    text: Mapped[str] = mapped_column(Text)
    words: Mapped[list[list[Any]]] = mapped_column(JSON)
    backchannel: Mapped[bool] = mapped_column(Boolean)


class EventRow(Base):
    """Something that happened in a call beside speech."""

    __tablename__ = "call_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), index=True)
    at_ms: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(Text)


class TransferRow(Base):
    """A floor transfer from caller to agent: what onset percentiles over many calls are made of."""

    __tablename__ = "transfers"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    at_ms: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    offset_ms: Mapped[int] = mapped_column(Integer)


class ScoreRow(Base):
    """A score of a call; re-scoring adds a row."""

    __tablename__ = "scores"

    id: Mapped[int] = mapped_column(primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), index=True)
    persona_version_id: Mapped[int | None] = mapped_column(ForeignKey("persona_versions.id", ondelete="SET NULL"))
    rubric_hash: Mapped[str] = mapped_column(String(64))
    scorer: Mapped[str] = mapped_column(String(128))
    score: Mapped[float | None] = mapped_column(Float)
    coverage: Mapped[float] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class VerdictRow(Base):
    """One criterion's result in a score."""

    __tablename__ = "verdicts"

    score_id: Mapped[int] = mapped_column(ForeignKey("scores.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    criterion_id: Mapped[str] = mapped_column(String(160))
    text: Mapped[str] = mapped_column(Text)
    verdict: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))
    weight: Mapped[float] = mapped_column(Float)
    quote: Mapped[str] = mapped_column(Text)
    turn_index: Mapped[int | None] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text)


class CustomerRow(Base):
    """Somebody who calls; ``name_key`` is ``crm.customer.name_key`` of the name."""

    __tablename__ = "customers"
    __table_args__ = (Index("ix_customers_name_key", "name_key", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    name_key: Mapped[str] = mapped_column(Text)
    profile: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CustomerNumberRow(Base):
    """A number that a customer calls from, E.164; ``place`` is its place among theirs."""

    __tablename__ = "customer_numbers"

    number: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    place: Mapped[int]
