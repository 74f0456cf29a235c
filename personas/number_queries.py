"""The store's part about phone numbers: which persona answers each, and what each is set to.

Who saves a number locks its personas' rows, then its own: of two who save at once the second sees what the first did.
"""

from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from personas import audit
from personas.audit import Action, Actor, Subject
from personas.db import Database
from personas.errors import NotPublished, NumberChanged, UnknownNumber
from personas.numbers import MESSAGE, OPEN, VOICEMAIL, NumberSettings, check_number, check_settings, settings_hash
from personas.rows import as_version, insert_into, lock
from personas.tables import NumberRow, PersonaRow, PersonaVersionRow
from personas.versions import PersonaVersion

_FIELDS = tuple(part.name for part in fields(NumberSettings) if part.name not in ("number", "persona_slug"))
_WORDS = {OPEN, VOICEMAIL, MESSAGE}  # what else than a persona callers may meet out of hours


class NumberQueries:
    """Queries on phone numbers. Every method is one transaction."""

    _database: Database
    _actor: Actor

    async def set_number(self, number: str, slug: str) -> None:
        """Let a persona answer a phone number, instead of whichever did; the number's other settings stay.

        Raises:
            BadNumber: it is not E.164.
            UnknownPersona, PersonaArchived: no persona has this slug, or it was put away.
        """
        number = check_number(number)
        async with self._database.session() as session:
            await _put(session, number, {"persona_id": await lock(session, slug)})
            self._note(session, Action.NUMBER_SET, number, f"answered by {slug}")

    async def save_number(self, settings: NumberSettings, *, base: str | None = None) -> None:
        """Set everything of a phone number.

        Args:
            base: ``settings_hash`` of what the writer has seen the number set to, "" where it was not set.
                None replaces whatever is there.

        Raises:
            BadNumber, BadNumberSetting: a setting can't be used.
            UnknownPersona, PersonaArchived: of the persona, or the one for out of hours.
            NumberChanged: the number is set to something else than ``base``, and than what is being saved.
        """
        check_settings(settings)
        slugs = {settings.persona_slug} | ({settings.out_of_hours} - _WORDS)
        async with self._database.session() as session:
            ids = {slug: await lock(session, slug) for slug in sorted(slugs)}  # one order: no two can deadlock
            values = {name: value for name, value in asdict(settings).items() if name in _FIELDS}
            values["persona_id"] = ids[settings.persona_slug]
            found = await _locked(session, settings.number)
            if found == settings:
                return
            if base is not None and (settings_hash(found) if found else "") != base:
                raise NumberChanged(f"{settings.number} was set to something else meanwhile; look at it again.")
            await _put(session, settings.number, values, only_new=base == "")
            self._note(session, Action.NUMBER_SET, settings.number, _changed(found, settings))

    async def clear_number(self, number: str, *, base: str | None = None) -> None:
        """Let nobody answer a phone number any more; ``base`` is as in ``save_number``.

        Raises:
            UnknownNumber: nobody did.
            NumberChanged: the number is set to something else than ``base``.
        """
        async with self._database.session() as session:
            found = await _locked(session, number)
            if found is None:
                raise UnknownNumber("No persona answers this number.")
            if base is not None and settings_hash(found) != base:
                raise NumberChanged(f"{number} was set to something else meanwhile; look at it again.")
            await session.execute(delete(NumberRow).where(NumberRow.number == number))
            self._note(session, Action.NUMBER_CLEARED, number, f"was answered by {found.persona_slug}")

    async def numbers(self) -> list[NumberSettings]:
        """Return the phone numbers that are set, in order."""
        async with self._database.session() as session:
            query = select(NumberRow, PersonaRow.slug).join(PersonaRow).order_by(NumberRow.number)
            return [_settings(row, slug) for row, slug in await session.execute(query)]

    async def number_settings(self, number: str) -> NumberSettings | None:
        """Return what a phone number (E.164) is set to, None where no persona answers it."""
        async with self._database.session() as session:
            query = select(NumberRow, PersonaRow.slug).join(PersonaRow).where(NumberRow.number == number)
            found = (await session.execute(query)).one_or_none()
            return None if found is None else _settings(found[0], found[1])

    async def published_for_number(self, number: str) -> PersonaVersion:
        """Return the published version that answers a phone number (E.164).

        Raises:
            UnknownNumber: no persona answers this number.
            NotPublished: its persona has only a draft.
            CardError: the version can't be read by this version of Parley.
        """
        async with self._database.session() as session:
            slug = await session.scalar(select(PersonaRow.slug).join(NumberRow).where(NumberRow.number == number))
            if slug is None:
                raise UnknownNumber("No persona answers this number; set one with `parley numbers set NUMBER PERSONA`.")
            query = (
                select(PersonaVersionRow)
                .join(PersonaRow)
                .where(PersonaRow.slug == slug, PersonaVersionRow.published_at.is_not(None))
                .order_by(PersonaVersionRow.number.desc())
                .limit(1)
            )
            row = await session.scalar(query)
            if row is None:
                raise NotPublished(f"The persona {slug!r} has no published version; publish its draft.")
            return as_version(row, slug)

    def _note(self, session: AsyncSession, action: Action, number: str, detail: str) -> None:
        audit.note(session, self._actor, action, Subject("number", number), detail)


async def numbers_of(session: AsyncSession, persona_id: int, slug: str) -> list[str]:
    """Return the numbers that a persona answers, always or out of hours."""
    is_its = NumberRow.persona_id == persona_id
    if slug not in _WORDS:
        is_its |= NumberRow.out_of_hours == slug
    return list(await session.scalars(select(NumberRow.number).where(is_its).order_by(NumberRow.number)))


async def _locked(session: AsyncSession, number: str) -> NumberSettings | None:
    """Return what a number is set to, and keep others from changing it until the transaction ends."""
    # On SQLite this takes the write lock; PostgreSQL waits here for who has the row, and then reads what they wrote.
    mine = update(NumberRow).where(NumberRow.number == number).values(number=number).returning(NumberRow)
    row = (await session.execute(mine, execution_options={"populate_existing": True})).scalar_one_or_none()
    if row is None:
        return None
    slug = await session.scalar(select(PersonaRow.slug).where(PersonaRow.id == row.persona_id))
    return _settings(row, slug or "")


def _changed(old: NumberSettings | None, new: NumberSettings) -> str:
    """Return what was changed, without the human's number."""
    said = f"answered by {new.persona_slug}"
    names = [name.replace("_", " ") for name in _FIELDS if old and getattr(old, name) != getattr(new, name)]
    return f"{said}; changed: {', '.join(names)}" if names else said


async def _put(session: AsyncSession, number: str, values: dict[str, Any], *, only_new: bool = False) -> None:
    new = insert_into(session, NumberRow).values(number=number, created_at=datetime.now(UTC), **values)
    if not only_new:
        await session.execute(new.on_conflict_do_update(index_elements=["number"], set_=values))
    elif await session.scalar(new.on_conflict_do_nothing().returning(NumberRow.number)) is None:
        # Two who tie one new number at once both find none: the table's key lets one of them through.
        raise NumberChanged(f"{number} was set by somebody else meanwhile; look at it again.")


def _settings(row: NumberRow, slug: str) -> NumberSettings:
    return NumberSettings(row.number, slug, **{name: getattr(row, name) for name in _FIELDS})
