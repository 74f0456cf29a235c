"""The tables of personas, their versions and phone numbers, of the console's users, what they did, and attempts to
sign in.

numbers ──▶ personas ◀── persona_versions (numbered; the one without ``published_at`` is the draft)
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from personas.db import Base, UtcDateTime


class PersonaRow(Base):
    """A persona; writers lock its row first, so the versions of one persona are written one after another."""

    __tablename__ = "personas"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PersonaVersionRow(Base):
    """A role card as it stood; never changed once published, or tried in a test call."""

    __tablename__ = "persona_versions"
    __table_args__ = (UniqueConstraint("persona_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    persona_id: Mapped[int] = mapped_column(ForeignKey("personas.id", ondelete="CASCADE"))
    number: Mapped[int]
    card: Mapped[dict[str, Any]] = mapped_column(JSON)
    content_hash: Mapped[str] = mapped_column(String(64))
    imported: Mapped[bool]
    note: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    published_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    tested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class NumberRow(Base):
    """A phone number (E.164), the persona that answers it, and the settings of personas.numbers.NumberSettings."""

    __tablename__ = "numbers"

    number: Mapped[str] = mapped_column(String(16), primary_key=True)
    persona_id: Mapped[int] = mapped_column(ForeignKey("personas.id", ondelete="RESTRICT"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    human_number: Mapped[str] = mapped_column(String(16), default="")
    on_full: Mapped[str] = mapped_column(String(8), default="busy")
    wait_limit_s: Mapped[int] = mapped_column(default=120)
    hours: Mapped[str] = mapped_column(Text, default="")
    timezone: Mapped[str] = mapped_column(String(64), default="")
    out_of_hours: Mapped[str] = mapped_column(String(64), default="open")
    queue_name: Mapped[str] = mapped_column(String(64), default="")


class UserRow(Base):
    """Someone who may sign in to the console: with a password, or known to a provider as ``subject`` of ``issuer``."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    role: Mapped[str] = mapped_column(String(16))
    session_key: Mapped[str] = mapped_column(String(32), default="")
    issuer: Mapped[str | None] = mapped_column(String(255))
    subject: Mapped[str | None] = mapped_column(String(255))
    display_name: Mapped[str] = mapped_column(Text, default="")
    email: Mapped[str] = mapped_column(Text, default="")
    signed_in_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SignInAttemptRow(Base):
    """An attempt to sign in, once for each thing that it counts for; ``key`` is a keyed hash (admin/throttle.py)."""

    __tablename__ = "sign_in_attempts"
    __table_args__ = (Index("ix_sign_in_attempts_key", "key", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class AuditRow(Base):
    """Something that somebody did (personas/audit.py); it refers to nothing, so that it outlives all it names."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_at", "at", "id"),
        Index("ix_audit_entries_actor", "actor_name", "at", "id"),
        Index("ix_audit_entries_action", "action", "at", "id"),
        Index("ix_audit_entries_subject", "subject_id", "action", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor_name: Mapped[str] = mapped_column(String(128))
    actor_id: Mapped[str] = mapped_column(String(32))
    via: Mapped[str] = mapped_column(String(16))
    action: Mapped[str] = mapped_column(String(32))
    subject_kind: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[str] = mapped_column(String(128))
    subject_title: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text)
