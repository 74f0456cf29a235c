"""The persona store: drafts, numbered versions, and (number_queries.py) which persona answers which number.

A persona has versions 1, 2, …; the last may be an unpublished draft, and drafts that were tried in a test call stay
among the others; the newest published one answers calls. Every writer first locks the persona's row, on SQLite by
taking the one write lock.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from personas import audit
from personas.audit import PARLEY, Action, Actor, Subject
from personas.db import Database
from personas.errors import DraftChanged, NotPublished, PersonaArchived, PersonaInUse, UnknownVersion
from personas.number_queries import NumberQueries, numbers_of
from personas.persona import PersonaCard
from personas.rows import as_version, lock, lock_or_make, unknown_persona
from personas.tables import NumberRow, PersonaRow, PersonaVersionRow
from personas.versions import ImportedCard as ImportedCard
from personas.versions import ImportOutcome as ImportOutcome
from personas.versions import PersonaSummary as PersonaSummary
from personas.versions import PersonaVersion as PersonaVersion
from personas.versions import content_hash as content_hash


class PersonaStore(NumberQueries):
    """All queries on personas. Every method is one transaction; ``actor`` is whose changes the audit log records."""

    def __init__(self, database: Database, actor: Actor = PARLEY) -> None:
        self._database = database
        self._actor = actor

    def by(self, actor: Actor) -> "PersonaStore":
        """Return the same store, in the hands of ``actor``."""
        return PersonaStore(self._database, actor)

    async def save_draft(self, card: PersonaCard, *, note: str = "", base: str | None = None) -> PersonaVersion:
        """Save the card as its persona's draft; the slug makes the persona. An older draft is replaced, unless tested.

        A card equal to the newest version makes no new one: that version is returned.

        Args:
            base: ``content_hash`` of the newest version that the writer has seen, "" where there was no persona.
                None replaces whatever is there.

        Raises:
            DraftChanged: the newest version is another than ``base``, and not what is being saved.
            PersonaArchived: the persona was put away.
        """
        async with self._database.session() as session:
            persona_id = await lock_or_make(session, card.slug)
            await _check_base(session, persona_id, card.slug, base, or_equal=content_hash(card))
            return as_version(await _put_draft(session, persona_id, card, note), card.slug)

    async def publish(self, slug: str, *, note: str = "", base: str | None = None) -> PersonaVersion:
        """Make the draft the version that answers calls; without a draft return the published version.

        Raises:
            UnknownPersona, PersonaArchived: no persona has this slug, or it was put away.
            DraftChanged: ``base`` is given and not the ``content_hash`` of the newest version.
        """
        async with self._database.session() as session:
            persona_id = await lock(session, slug)
            await _check_base(session, persona_id, slug, base)
            newest = await _newest(session, persona_id)
            if newest.published_at is None:
                newest.published_at = datetime.now(UTC)
                newest.note = note or newest.note
                _note(session, self._actor, Action.PERSONA_PUBLISHED, newest, slug, f"version {newest.number}")
            return as_version(newest, slug)

    async def note_test(self, version_id: int) -> None:
        """Keep a version as it is from now on, because a test call is about to refer to it."""
        untested = update(PersonaVersionRow).where(
            PersonaVersionRow.id == version_id, PersonaVersionRow.tested_at.is_(None)
        )
        async with self._database.session() as session:
            await session.execute(untested.values(tested_at=datetime.now(UTC)))

    async def restore(self, slug: str, number: int) -> PersonaVersion:
        """Make version ``number``'s card the draft again, replacing an older draft.

        Raises:
            UnknownPersona, UnknownVersion, PersonaArchived: there is none, or it was put away.
        """
        async with self._database.session() as session:
            persona_id = await lock(session, slug)
            old = await session.scalar(
                select(PersonaVersionRow).where(
                    PersonaVersionRow.persona_id == persona_id, PersonaVersionRow.number == number
                )
            )
            if old is None:
                raise UnknownVersion(f"The persona {slug!r} has no version {number}.")
            card = as_version(old, slug).card
            return as_version(await _put_draft(session, persona_id, card, f"Restored from version {number}"), slug)

    async def import_cards(self, cards: Sequence[PersonaCard], *, replace_edits: bool = False) -> list[ImportedCard]:
        """Publish the cards that differ from their last import, all or none; importing again changes nothing.

        A card whose file did not change since its last import leaves later edits alone, unless
        ``replace_edits``. A draft in work is kept and moves up by one number.
        """
        async with self._database.session() as session:
            done: dict[str, ImportedCard] = {}
            for card in sorted(cards, key=lambda card: card.slug):  # one order for all: no two writers can deadlock
                done[card.slug] = await _import(session, card, replace_edits, self._actor)
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
            return as_version(found[0], found[1])

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
                raise await unknown_persona(session, slug)
            return [as_version(row, slug) for row in rows]

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

    async def archive(self, slug: str) -> None:
        """Put a persona away: it can't be given a number or changed until it is brought back; its calls keep it.

        Raises:
            UnknownPersona: no persona has this slug.
            PersonaInUse: it answers a number, always or out of hours.
        """
        async with self._database.session() as session:
            persona_id = await lock(session, slug, also_archived=True)  # who gives it a number locks it, too
            if numbers := await numbers_of(session, persona_id, slug):
                raise PersonaInUse(f"{slug!r} answers {', '.join(numbers)}; give another persona to it first.")
            here = PersonaRow.id == persona_id, PersonaRow.archived_at.is_(None)
            put_away = update(PersonaRow).where(*here).values(archived_at=datetime.now(UTC)).returning(PersonaRow.id)
            if await session.scalar(put_away):
                newest = await _newest(session, persona_id)
                _note(session, self._actor, Action.PERSONA_ARCHIVED, newest, slug)

    async def bring_back(self, slug: str) -> None:
        """Undo ``archive``.

        Raises:
            UnknownPersona: no persona has this slug.
        """
        async with self._database.session() as session:
            persona_id = await lock(session, slug, also_archived=True)
            away = PersonaRow.id == persona_id, PersonaRow.archived_at.is_not(None)
            back = update(PersonaRow).where(*away).values(archived_at=None).returning(PersonaRow.id)
            if await session.scalar(back):
                newest = await _newest(session, persona_id)
                _note(session, self._actor, Action.PERSONA_BROUGHT_BACK, newest, slug)

    async def archived_at(self, slug: str) -> datetime | None:
        """Return when a persona was put away; None where it was not, or where there is none."""
        async with self._database.session() as session:
            return await session.scalar(select(PersonaRow.archived_at).where(PersonaRow.slug == slug))

    async def personas(self, *, also_archived: bool = False) -> list[PersonaSummary]:
        """Return every persona, by slug."""
        async with self._database.session() as session:
            query = select(PersonaRow).order_by(PersonaRow.slug)
            if not also_archived:
                query = query.where(PersonaRow.archived_at.is_(None))
            return [await _summary(session, persona) for persona in await session.scalars(query)]

    async def titles(self) -> dict[str, str]:
        """Return every persona's title by slug, those in use first, those put away marked as such."""
        of_persona = PersonaVersionRow.persona_id == PersonaRow.id
        shown = select(PersonaVersionRow.card["title"].as_string()).where(of_persona).limit(1)
        shown = shown.order_by(PersonaVersionRow.published_at.is_(None), PersonaVersionRow.number.desc())
        query = select(PersonaRow.slug, shown.scalar_subquery(), PersonaRow.archived_at.is_not(None))
        async with self._database.session() as session:
            found = (await session.execute(query.order_by(PersonaRow.archived_at.is_not(None), PersonaRow.slug))).all()
        return {slug: title + (" (archived)" if is_archived else "") for slug, title, is_archived in found}


def _note(
    session: AsyncSession, actor: Actor, action: Action, version: PersonaVersionRow, slug: str, detail: str = ""
) -> None:
    audit.note(session, actor, action, Subject("persona", slug, version.card["title"]), detail)


async def _newest(session: AsyncSession, persona_id: int) -> PersonaVersionRow:
    query = select(PersonaVersionRow).where(PersonaVersionRow.persona_id == persona_id)
    return (await session.scalars(query.order_by(PersonaVersionRow.number.desc()).limit(1))).one()


async def _check_base(session: AsyncSession, persona_id: int, slug: str, base: str | None, or_equal: str = "") -> None:
    if base is None:
        return
    query = select(PersonaVersionRow).where(PersonaVersionRow.persona_id == persona_id)
    newest = await session.scalar(query.order_by(PersonaVersionRow.number.desc()).limit(1))
    found = content_hash(as_version(newest, slug).card) if newest else ""
    if found not in (base, or_equal):
        raise DraftChanged(f"The draft of {slug!r} was changed by somebody else since you opened it; look at it again.")


async def _put_draft(session: AsyncSession, persona_id: int, card: PersonaCard, note: str) -> PersonaVersionRow:
    query = select(PersonaVersionRow).where(PersonaVersionRow.persona_id == persona_id)
    newest = await session.scalar(query.order_by(PersonaVersionRow.number.desc()).limit(1))
    digest = content_hash(card)
    if newest is not None and newest.content_hash == digest:
        return newest
    if newest is None or newest.published_at is not None or newest.tested_at is not None:
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


async def _import(session: AsyncSession, card: PersonaCard, replace_edits: bool, actor: Actor) -> ImportedCard:
    try:
        persona_id = await lock_or_make(session, card.slug)
    except PersonaArchived:
        persona_id = await lock(session, card.slug, also_archived=True)
        newest = await _newest(session, persona_id)
        return ImportedCard(ImportOutcome.ARCHIVED, as_version(newest, card.slug))
    query = select(PersonaVersionRow).where(PersonaVersionRow.persona_id == persona_id)
    rows = list(await session.scalars(query.order_by(PersonaVersionRow.number.desc())))
    digest = content_hash(card)
    published = next((row for row in rows if row.published_at is not None), None)
    if published is not None:
        if published.content_hash == digest:
            return ImportedCard(ImportOutcome.UNCHANGED, as_version(published, card.slug))
        last_import = next((row for row in rows if row.imported), None)
        if last_import is not None and last_import.content_hash == digest and not replace_edits:
            return ImportedCard(ImportOutcome.EDITED, as_version(published, card.slug))
    number = rows[0].number + 1 if rows else 1
    if rows and rows[0].published_at is None:
        number, rows[0].number = rows[0].number, rows[0].number + 1
        await session.flush()
    row = _new_row(persona_id, number, card)
    row.imported, row.published_at = True, row.created_at
    session.add(row)
    await session.flush()
    _note(session, actor, Action.PERSONA_PUBLISHED, row, card.slug, f"version {number}, from a file")
    return ImportedCard(ImportOutcome.CHANGED if published else ImportOutcome.NEW, as_version(row, card.slug))


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
        archived_at=persona.archived_at,
    )
