"""Rows of the tables ↔ the values that the store hands out, and the locks that writers take first."""

from datetime import UTC, datetime
from difflib import get_close_matches

from pydantic import ValidationError
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from personas.errors import CardError, PersonaArchived, UnknownPersona
from personas.persona import PersonaCard
from personas.tables import NumberRow, PersonaRow, PersonaVersionRow
from personas.versions import PersonaVersion


def as_version(row: PersonaVersionRow, slug: str) -> PersonaVersion:
    """Return the version of a row; raises CardError where this Parley can't read it."""
    try:
        card = PersonaCard.model_validate(row.card)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise CardError(
            f"Version {row.number} of the persona {slug!r} can't be read by this version of Parley "
            f"(field {field or 'card'}: {error.errors()[0]['msg']}); save and publish it anew."
        ) from error
    moments = {"created_at": row.created_at, "published_at": row.published_at, "tested_at": row.tested_at}
    return PersonaVersion(row.id, slug, row.number, card, note=row.note, **moments)


def insert_into(session: AsyncSession, table: type[NumberRow] | type[PersonaRow]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that knows ON CONFLICT."""
    # Both dialects know ON CONFLICT, SQLAlchemy's general INSERT does not.
    return (sqlite if session.get_bind().dialect.name == "sqlite" else postgresql).insert(table)


async def lock_or_make(session: AsyncSession, slug: str) -> int:
    """Lock a persona's row, making it where there is none; return its id.

    Raises:
        PersonaArchived: there is one that was put away.
    """
    insert = insert_into(session, PersonaRow).values(slug=slug, created_at=datetime.now(UTC))
    # The update that changes nothing takes the lock and gives the id, whoever made the row.
    same = insert.on_conflict_do_update(index_elements=["slug"], set_={"slug": slug})
    found = await session.execute(same.returning(PersonaRow.id, PersonaRow.archived_at))
    return _unless_archived(slug, *found.one())


async def lock(session: AsyncSession, slug: str, *, also_archived: bool = False) -> int:
    """Lock a persona's row until the transaction ends, on SQLite all of the database; return its id.

    Raises:
        UnknownPersona: no persona has this slug.
        PersonaArchived: it was put away, unless ``also_archived``.
    """
    same = update(PersonaRow).where(PersonaRow.slug == slug).values(slug=slug)
    found = (await session.execute(same.returning(PersonaRow.id, PersonaRow.archived_at))).one_or_none()
    if found is None:
        raise await unknown_persona(session, slug)
    return found[0] if also_archived else _unless_archived(slug, *found)


def _unless_archived(slug: str, persona_id: int, archived_at: datetime | None) -> int:
    if archived_at is not None:
        raise PersonaArchived(
            f"The persona {slug!r} is archived; bring it back on its page, or with `parley personas restore {slug}`."
        )
    return persona_id


async def unknown_persona(session: AsyncSession, slug: str) -> UnknownPersona:
    """Return the error that says so and names the nearest slug."""
    slugs = list(await session.scalars(select(PersonaRow.slug).order_by(PersonaRow.slug)))
    near = get_close_matches(slug, slugs, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif slugs:
        hint = "`parley personas list` shows them all."
    else:
        hint = "there are none yet: load the library with `parley personas import`."
    return UnknownPersona(f"There is no persona {slug!r}; {hint}")
