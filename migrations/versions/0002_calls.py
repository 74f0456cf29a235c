"""Calls: nonces, turns, events, transfers, scores, verdicts; customers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _customers()
    _calls()
    _log()
    _scores()


def downgrade() -> None:
    for table in ("verdicts", "scores", "transfers", "call_events", "turns", "call_nonces", "calls", "customers"):
        op.drop_table(table)


def _customers() -> None:
    op.create_table(
        "customers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("phone_number", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
        sa.UniqueConstraint("phone_number", name="uq_customers_phone_number"),
    )


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("carrier", sa.String(32), nullable=False),
        sa.Column("carrier_call_id", sa.String(128), nullable=False),
        sa.Column("account_id", sa.String(128), nullable=False),
        sa.Column("from_number", sa.String(64), nullable=False),
        sa.Column("to_number", sa.String(64), nullable=False),
        sa.Column("persona_slug", sa.String(64), nullable=True),
        sa.Column("persona_version_id", sa.Integer(), nullable=True),
        sa.Column("persona_title", sa.Text(), nullable=False),
        sa.Column("engine", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("role_prompt", sa.Text(), nullable=False),
        sa.Column("gateway", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("recording", sa.String(255), nullable=False),
        sa.Column("timing", sa.JSON(), nullable=False),
        sa.Column("dynamics", sa.JSON(), nullable=False),
        sa.Column("turn_count", sa.Integer(), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("coverage", sa.Float(), nullable=True),
        sa.Column("failed_critical", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["persona_version_id"],
            ["persona_versions.id"],
            name="fk_calls_persona_version_id_persona_versions",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
        sa.UniqueConstraint("carrier", "carrier_call_id", name="uq_calls_carrier"),
    )
    op.create_index("ix_calls_carrier_call_id", "calls", ["carrier_call_id"])
    op.create_index("ix_calls_created_at", "calls", ["created_at", "id"])
    op.create_index("ix_calls_from_number", "calls", ["from_number", "created_at"])
    op.create_index("ix_calls_persona_slug", "calls", ["persona_slug", "created_at", "id"])
    op.create_index("ix_calls_scored_at", "calls", ["scored_at", "created_at"])
    op.create_index("ix_calls_status", "calls", ["status", "created_at", "id"])
    op.create_index("ix_calls_to_number", "calls", ["to_number", "created_at"])
    op.create_table(
        "call_nonces",
        sa.Column("nonce_hash", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_call_nonces_call_id_calls", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("nonce_hash", name="pk_call_nonces"),
    )
    op.create_index("ix_call_nonces_call_id", "call_nonces", ["call_id"])


def _log() -> None:
    op.create_table(
        "turns",
        sa.Column("call_id", sa.String(32), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("start_ms", sa.Integer(), nullable=False),
        sa.Column("end_ms", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("words", sa.JSON(), nullable=False),
        sa.Column("backchannel", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_turns_call_id_calls", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "position", name="pk_turns"),
    )
    op.create_table(
        "call_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(32), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_call_events_call_id_calls", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_call_events"),
    )
    op.create_index("ix_call_events_call_id", "call_events", ["call_id"])
    op.create_table(
        "transfers",
        sa.Column("call_id", sa.String(32), nullable=False),
        sa.Column("at_ms", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("offset_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_transfers_call_id_calls", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "at_ms", name="pk_transfers"),
    )


def _scores() -> None:
    op.create_table(
        "scores",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.String(32), nullable=False),
        sa.Column("persona_version_id", sa.Integer(), nullable=True),
        sa.Column("rubric_hash", sa.String(64), nullable=False),
        sa.Column("scorer", sa.String(128), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("coverage", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_scores_call_id_calls", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["persona_version_id"],
            ["persona_versions.id"],
            name="fk_scores_persona_version_id_persona_versions",
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_scores"),
    )
    op.create_index("ix_scores_call_id", "scores", ["call_id"])
    op.create_table(
        "verdicts",
        sa.Column("score_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("criterion_id", sa.String(160), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("turn_index", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["score_id"], ["scores.id"], name="fk_verdicts_score_id_scores", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("score_id", "position", name="pk_verdicts"),
    )
    op.create_index("ix_verdicts_criterion_id", "verdicts", ["criterion_id"])
