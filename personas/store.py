"""The persona store: drafts, numbered versions, and which persona answers which number.

A persona has versions 1, 2, …; at most the last is an unpublished draft, the newest published one
answers calls. Every writer first locks the persona's row, on SQLite by taking the one write lock.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from personas.db import Database
from personas.errors import CardError, DraftChanged, NotPublished, UnknownNumber, UnknownPersona, UnknownVersion
from personas.numbers import MESSAGE, OPEN, VOICEMAIL, NumberSettings, check_number, check_settings
from personas.persona import PersonaCard
from personas.tables import NumberRow, PersonaRow, PersonaVersionRow
from personas.versions import ImportedCard as ImportedCard
from personas.versions import ImportOutcome as ImportOutcome
from personas.versions import PersonaSummary as PersonaSummary
from personas.versions import PersonaVersion as PersonaVersion
from personas.versions import content_hash as content_hash

_OF_NUMBERS = tuple(part.name for part in fields(NumberSettings) if part.name not in ("number", "persona_slug"))


class PersonaStore:
    """All queries on personas. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Versions

    async def save_draft(self, card: PersonaCard, *, note: str = "", base: str | None = None) -> PersonaVersion:
        """Save the card as its persona's draft, replacing an older draft; the slug makes the persona.

        A card equal to the newest version makes no new one: that version is returned.

        Args:
            base: ``content_hash`` of the newest version that the writer has seen, "" where there was no persona.
                None replaces whatever is there.

        Raises:
            DraftChanged: the newest version is another than ``base``, and not what is being saved.
        """
        async with self._database.session() as session:
            persona_id = await _lock_or_make(session, card.slug)
            await _check_base(session, persona_id, card.slug, base, or_equal=content_hash(card))
            return _version(await _put_draft(session, persona_id, card, note), card.slug)

    async def publish(self, slug: str, *, note: str = "", base: str | None = None) -> PersonaVersion:
        """Make the draft the version that answers calls; without a draft return the published version.

        Raises:
            UnknownPersona: no persona has this slug.
            DraftChanged: ``base`` is given and not the ``content_hash`` of the newest version.
        """
        async with self._database.session() as session:
            persona_id = await _lock(session, slug)
            await _check_base(session, persona_id, slug, base)
            newest = await _newest(session, persona_id)
            if newest.published_at is None:
                newest.published_at = datetime.now(UTC)
                newest.note = note or newest.note
            return _version(newest, slug)

    async def restore(self, slug: str, number: int) -> PersonaVersion:
        """Make version ``number``'s card the draft again, replacing an older draft.

        Raises:
            UnknownPersona, UnknownVersion: there is none.
        """
        async with self._database.session() as session:
            persona_id = await _lock(session, slug)
            old = await session.scalar(
                select(PersonaVersionRow).where(
                    PersonaVersionRow.persona_id == persona_id, PersonaVersionRow.number == number
                )
            )
            if old is None:
                raise UnknownVersion(f"The persona {slug!r} has no version {number}.")
            card = _version(old, slug).card
            return _version(await _put_draft(session, persona_id, card, f"Restored from version {number}"), slug)

    async def import_cards(self, cards: Sequence[PersonaCard], *, replace_edits: bool = False) -> list[ImportedCard]:
        """Publish the cards that differ from their last import, all or none; importing again changes nothing.

        A card whose file did not change since its last import leaves later edits alone, unless
        ``replace_edits``. A draft in work is kept and moves up by one number.
        """
        async with self._database.session() as session:
            done: dict[str, ImportedCard] = {}
            for card in sorted(cards, key=lambda card: card.slug):  # one order for all: no two writers can deadlock
                done[card.slug] = await _import(session, card, replace_edits)
            return [done[card.slug] for card in cards]

    async def version(self, version_id: int) -> PersonaVersion:
        """Return one version by its id.

        Raises:
            UnknownVersion: there is none.
            CardError: it can't be read by this version of Parley.
        """
        async with self._database.session() as session:
            query = (
                select(PersonaVersionRow, PersonaRow.slug).join(PersonaRow).where(PersonaVersionRow.id == version_id)
            )
            found = (await session.execute(query)).one_or_none()
            if found is None:
                raise UnknownVersion(f"There is no persona version with id {version_id}.")
            return _version(found[0], found[1])

    async def version_numbers(self, ids: Collection[int | None]) -> dict[int | None, int]:
        """Return version numbers by id, of those versions that are still there."""
        known = [version_id for version_id in ids if version_id is not None]
        query = select(PersonaVersionRow.id, PersonaVersionRow.number).where(PersonaVersionRow.id.in_(known))
        async with self._database.session() as session:
            return {version_id: number for version_id, number in await session.execute(query)}

    async def versions(self, slug: str) -> list[PersonaVersion]:
        """Return a persona's versions, newest first, the draft included.

        Raises:
            UnknownPersona: no persona has this slug.
        """
        async with self._database.session() as session:
            query = (
                select(PersonaVersionRow)
                .join(PersonaRow)
                .where(PersonaRow.slug == slug)
                .order_by(PersonaVersionRow.number.desc())
            )
            rows = (await session.scalars(query)).all()
            if not rows:
                raise await _unknown_persona(session, slug)
            return [_version(row, slug) for row in rows]

    async def published(self, slug: str) -> PersonaVersion:
        """Return the version of a persona that answers calls.

        Raises:
            UnknownPersona: no persona has this slug.
            NotPublished: it has only a draft.
        """
        for version in await self.versions(slug):
            if version.published_at is not None:
                return version
        raise NotPublished(f"The persona {slug!r} has no published version; publish its draft.")

    async def personas(self) -> list[PersonaSummary]:
        """Return every persona, by slug."""
        async with self._database.session() as session:
            query = select(PersonaRow).order_by(PersonaRow.slug)
            return [await _summary(session, persona) for persona in await session.scalars(query)]

    # Numbers

    async def set_number(self, number: str, slug: str) -> None:
        """Let a persona answer a phone number, instead of whichever did; the number's other settings stay.

        Raises:
            BadNumber: it is not E.164.
            UnknownPersona: no persona has this slug.
        """
        await self._put_number(check_number(number), slug, {})

    async def save_number(self, settings: NumberSettings) -> None:
        """Set everything of a phone number.

        Raises:
            BadNumber, BadNumberSetting: a setting can't be used.
            UnknownPersona: no persona has this slug, or the one for out of hours.
        """
        check_settings(settings)
        await self._put_number(settings.number, settings.persona_slug, asdict(settings))

    async def _put_number(self, number: str, slug: str, values: dict[str, Any]) -> None:
        changes = {name: values[name] for name in _OF_NUMBERS if name in values}
        async with self._database.session() as session:
            changes["persona_id"] = await _lock(session, slug)
            other = values.get("out_of_hours", OPEN)
            if other not in (OPEN, VOICEMAIL, MESSAGE):
                await _lock(session, other)
            insert = _insert(session, NumberRow).values(number=number, created_at=datetime.now(UTC), **changes)
            await session.execute(insert.on_conflict_do_update(index_elements=["number"], set_=changes))

    async def clear_number(self, number: str) -> None:
        """Let nobody answer a phone number any more.

        Raises:
            UnknownNumber: nobody did.
        """
        async with self._database.session() as session:
            gone = await session.scalar(delete(NumberRow).where(NumberRow.number == number).returning(NumberRow.number))
            if gone is None:
                raise UnknownNumber("No persona answers this number.")

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
            return _version(row, slug)


def _settings(row: NumberRow, slug: str) -> NumberSettings:
    return NumberSettings(row.number, slug, **{name: getattr(row, name) for name in _OF_NUMBERS})


def _version(row: PersonaVersionRow, slug: str) -> PersonaVersion:
    try:
        card = PersonaCard.model_validate(row.card)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise CardError(
            f"Version {row.number} of the persona {slug!r} can't be read by this version of Parley "
            f"(field {field or 'card'}: {error.errors()[0]['msg']}); save and publish it anew."
        ) from error
    return PersonaVersion(row.id, slug, row.number, card, row.created_at, row.published_at, row.note)


def _insert(session: AsyncSession, table: type[NumberRow] | type[PersonaRow]) -> sqlite.Insert | postgresql.Insert:
    # Both dialects know ON CONFLICT, SQLAlchemy's general INSERT does not.
    return (sqlite if session.get_bind().dialect.name == "sqlite" else postgresql).insert(table)


async def _lock_or_make(session: AsyncSession, slug: str) -> int:
    insert = _insert(session, PersonaRow).values(slug=slug, created_at=datetime.now(UTC))
    # The update that changes nothing takes the lock and gives the id, whoever made the row.
    same = insert.on_conflict_do_update(index_elements=["slug"], set_={"slug": slug}).returning(PersonaRow.id)
    return (await session.execute(same)).scalar_one()


async def _lock(session: AsyncSession, slug: str) -> int:
    persona_id = await session.scalar(
        update(PersonaRow).where(PersonaRow.slug == slug).values(slug=slug).returning(PersonaRow.id)
    )
    if persona_id is None:
        raise await _unknown_persona(session, slug)
    return persona_id


async def _unknown_persona(session: AsyncSession, slug: str) -> UnknownPersona:
    slugs = list(await session.scalars(select(PersonaRow.slug).order_by(PersonaRow.slug)))
    near = get_close_matches(slug, slugs, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif slugs:
        hint = "`parley personas list` shows them all."
    else:
        hint = "there are none yet: load the library with `parley personas import`."
    return UnknownPersona(f"There is no persona {slug!r}; {hint}")


async def _newest(session: AsyncSession, persona_id: int) -> PersonaVersionRow:
    query = select(PersonaVersionRow).where(PersonaVersionRow.persona_id == persona_id)
    return (await session.scalars(query.order_by(PersonaVersionRow.number.desc()).limit(1))).one()


async def _check_base(session: AsyncSession, persona_id: int, slug: str, base: str | None, or_equal: str = "") -> None:
    if base is None:
        return
    query = select(PersonaVersionRow).where(PersonaVersionRow.persona_id == persona_id)
    newest = await session.scalar(query.order_by(PersonaVersionRow.number.desc()).limit(1))
    found = content_hash(_version(newest, slug).card) if newest else ""
    if found not in (base, or_equal):
        raise DraftChanged(f"The draft of {slug!r} was changed by somebody else since you opened it; look at it again.")


async def _put_draft(session: AsyncSession, persona_id: int, card: PersonaCard, note: str) -> PersonaVersionRow:
    query = select(PersonaVersionRow).where(PersonaVersionRow.persona_id == persona_id)
    newest = await session.scalar(query.order_by(PersonaVersionRow.number.desc()).limit(1))
    digest = content_hash(card)
    if newest is not None and newest.content_hash == digest:
        return newest
    if newest is None or newest.published_at is not None:
        newest = _new_row(persona_id, 1 if newest is None else newest.number + 1, card)
        session.add(newest)
    newest.card, newest.content_hash, newest.note = card.model_dump(mode="json"), digest, note
    newest.imported, newest.created_at = False, datetime.now(UTC)
    await session.flush()
    return newest


def _new_row(persona_id: int, number: int, card: PersonaCard) -> PersonaVersionRow:
    return PersonaVersionRow(
        persona_id=persona_id,
        number=number,
        card=card.model_dump(mode="json"),
        content_hash=content_hash(card),
        imported=False,
        note="",
        created_at=datetime.now(UTC),
        published_at=None,
    )


async def _import(session: AsyncSession, card: PersonaCard, replace_edits: bool) -> ImportedCard:
    persona_id = await _lock_or_make(session, card.slug)
    query = select(PersonaVersionRow).where(PersonaVersionRow.persona_id == persona_id)
    rows = list(await session.scalars(query.order_by(PersonaVersionRow.number.desc())))
    digest = content_hash(card)
    published = next((row for row in rows if row.published_at is not None), None)
    if published is not None:
        if published.content_hash == digest:
            return ImportedCard(ImportOutcome.UNCHANGED, _version(published, card.slug))
        last_import = next((row for row in rows if row.imported), None)
        if last_import is not None and last_import.content_hash == digest and not replace_edits:
            return ImportedCard(ImportOutcome.EDITED, _version(published, card.slug))
    number = rows[0].number + 1 if rows else 1
    if rows and rows[0].published_at is None:
        number, rows[0].number = rows[0].number, rows[0].number + 1
        await session.flush()
    row = _new_row(persona_id, number, card)
    row.imported, row.published_at = True, row.created_at
    session.add(row)
    await session.flush()
    return ImportedCard(ImportOutcome.CHANGED if published else ImportOutcome.NEW, _version(row, card.slug))


async def _summary(session: AsyncSession, persona: PersonaRow) -> PersonaSummary:
    query = select(PersonaVersionRow).where(PersonaVersionRow.persona_id == persona.id)
    rows = list(await session.scalars(query.order_by(PersonaVersionRow.number.desc())))
    numbers = await session.scalars(
        select(NumberRow.number).where(NumberRow.persona_id == persona.id).order_by(NumberRow.number)
    )
    published = next((row for row in rows if row.published_at is not None), None)
    shown = published or rows[0]
    agent = shown.card["agent"]
    return PersonaSummary(
        slug=persona.slug,
        title=shown.card["title"],
        agent_name=agent["name"],
        company=agent["company"],
        voice=shown.card["voice"],
        published_version_id=published.id if published else None,
        published_number=published.number if published else None,
        published_at=published.published_at if published else None,
        draft_number=rows[0].number if rows[0].published_at is None else None,
        numbers=tuple(numbers),
    )
