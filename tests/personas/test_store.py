"""Versions, publishing, importing and numbers, on SQLite and PostgreSQL."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from personas.db import Database
from personas.errors import (
    BadNumber,
    NotPublished,
    NumberChanged,
    PersonaArchived,
    PersonaInUse,
    UnknownNumber,
    UnknownPersona,
    UnknownVersion,
)
from personas.library import load_library
from personas.numbers import NumberSettings, settings_hash
from personas.persona import PersonaCard
from personas.store import ImportOutcome, PersonaStore, content_hash
from personas.tables import PersonaRow

DENTAL, BANK, *_ = load_library()


def greeting(card: PersonaCard, text: str) -> PersonaCard:
    return card.model_copy(update={"greeting": text})


@pytest.fixture
def store(database: Database) -> PersonaStore:
    return PersonaStore(database)


async def test_a_draft_becomes_version_one_when_published(store: PersonaStore) -> None:
    draft = await store.save_draft(DENTAL)
    assert (draft.number, draft.published_at, draft.card) == (1, None, DENTAL)
    published = await store.publish(DENTAL.slug, note="first")
    assert (published.id, published.number, published.note) == (draft.id, 1, "first")
    assert published.published_at is not None
    assert published.published_at.tzinfo is not None
    assert await store.version(draft.id) == published
    assert await store.published(DENTAL.slug) == published


async def test_a_second_draft_replaces_the_first_and_leaves_the_published_card_alone(store: PersonaStore) -> None:
    await store.save_draft(DENTAL)
    await store.publish(DENTAL.slug)
    await store.save_draft(greeting(DENTAL, "Hi."))
    draft = await store.save_draft(greeting(DENTAL, "Hello."))
    assert draft.number == 2
    assert [each.card.greeting for each in await store.versions(DENTAL.slug)] == ["Hello.", DENTAL.greeting]
    assert (await store.published(DENTAL.slug)).card == DENTAL
    await store.publish(DENTAL.slug)
    assert (await store.published(DENTAL.slug)).card.greeting == "Hello."


async def test_saving_an_unchanged_card_makes_no_version(store: PersonaStore) -> None:
    await store.save_draft(DENTAL)
    first = await store.publish(DENTAL.slug)
    assert await store.save_draft(DENTAL) == first
    assert await store.publish(DENTAL.slug) == first
    assert len(await store.versions(DENTAL.slug)) == 1


async def test_a_draft_that_was_tested_is_kept_as_it_was(store: PersonaStore) -> None:
    tested = await store.save_draft(DENTAL)
    await store.note_test(tested.id)
    better = await store.save_draft(greeting(DENTAL, "Hello!"))
    assert (better.number, better.tested_at) == (2, None)
    assert (await store.save_draft(greeting(DENTAL, "Hello there!"))).number == 2
    kept = await store.version(tested.id)
    assert kept.card == DENTAL
    assert kept.tested_at
    await store.note_test(tested.id)
    assert (await store.version(tested.id)).tested_at == kept.tested_at
    published = await store.publish(DENTAL.slug)
    assert (published.number, (await store.published(DENTAL.slug)).number) == (2, 2)
    assert [each.published_at is None for each in await store.versions(DENTAL.slug)] == [False, True]


async def test_an_old_version_is_restored_as_a_new_draft(store: PersonaStore) -> None:
    await store.save_draft(DENTAL)
    await store.publish(DENTAL.slug)
    await store.save_draft(greeting(DENTAL, "Hello."))
    await store.publish(DENTAL.slug)
    draft = await store.restore(DENTAL.slug, 1)
    assert (draft.number, draft.published_at, draft.card) == (3, None, DENTAL)
    assert draft.note == "Restored from version 1"
    with pytest.raises(UnknownVersion, match="no version 9"):
        await store.restore(DENTAL.slug, 9)


async def test_importing_again_changes_nothing(store: PersonaStore) -> None:
    cards = load_library()
    first = await store.import_cards(cards)
    assert {each.outcome for each in first} == {ImportOutcome.NEW}
    assert [each.version.card for each in first] == cards
    again = await store.import_cards(cards)
    assert {each.outcome for each in again} == {ImportOutcome.UNCHANGED}
    assert [each.version for each in again] == [each.version for each in first]


async def test_an_unchanged_file_leaves_later_edits_alone_and_a_changed_one_is_published(store: PersonaStore) -> None:
    await store.import_cards([DENTAL])
    await store.save_draft(greeting(DENTAL, "Edited."))
    await store.publish(DENTAL.slug)
    (kept,) = await store.import_cards([DENTAL])
    assert (kept.outcome, kept.version.card.greeting) == (ImportOutcome.EDITED, "Edited.")
    (changed,) = await store.import_cards([greeting(DENTAL, "New file.")])
    assert (changed.outcome, changed.version.number) == (ImportOutcome.CHANGED, 3)
    (replaced,) = await store.import_cards([DENTAL], replace_edits=True)
    assert (replaced.version.number, replaced.version.card) == (4, DENTAL)


async def test_importing_keeps_a_draft_in_work(store: PersonaStore) -> None:
    await store.import_cards([DENTAL])
    await store.save_draft(greeting(DENTAL, "In work."))
    await store.import_cards([greeting(DENTAL, "New file.")])
    draft, published, _ = await store.versions(DENTAL.slug)
    assert (draft.number, draft.card.greeting, draft.published_at) == (3, "In work.", None)
    assert (published.number, published.card.greeting) == (2, "New file.")


async def test_an_import_that_fails_leaves_nothing(store: PersonaStore) -> None:
    broken = BANK.model_copy(update={"greeting": object()})  # can't be written as JSON
    with pytest.raises(Exception, match="serializ"):
        await store.import_cards([DENTAL, broken])
    assert await store.personas() == []


async def test_writers_at_the_same_time_number_their_versions_one_after_another(store: PersonaStore) -> None:
    async def write(text: str) -> None:
        await store.save_draft(greeting(DENTAL, text))
        await store.publish(DENTAL.slug)

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(write(f"Greeting {number}."))
            group.create_task(store.import_cards([BANK, DENTAL] if number % 2 else [DENTAL, BANK]))
    versions = await store.versions(DENTAL.slug)
    assert [each.number for each in versions] == list(range(len(versions), 0, -1))
    assert all(each.published_at for each in versions)
    assert len(await store.versions(BANK.slug)) == 1


async def test_a_number_leads_to_the_published_version(store: PersonaStore) -> None:
    await store.save_draft(DENTAL)
    await store.set_number("+1 (555) 01-00", DENTAL.slug)
    with pytest.raises(NotPublished, match="brightwater-dental"):
        await store.published_for_number("+15550100")
    published = await store.publish(DENTAL.slug)
    await store.save_draft(greeting(DENTAL, "Not yet."))
    assert await store.published_for_number("+15550100") == published
    with pytest.raises(UnknownNumber):
        await store.published_for_number("+15550101")


async def test_a_number_has_one_persona_and_can_be_cleared(store: PersonaStore) -> None:
    await store.import_cards([DENTAL, BANK])
    await store.set_number("+15550100", DENTAL.slug)
    await store.set_number("+15550100", BANK.slug)
    assert [(each.number, each.persona_slug) for each in await store.numbers()] == [("+15550100", BANK.slug)]
    await store.clear_number("+15550100")
    assert await store.numbers() == []
    with pytest.raises(UnknownNumber):
        await store.clear_number("+15550100")


async def test_what_is_not_there_is_named_with_a_remedy(store: PersonaStore) -> None:
    with pytest.raises(UnknownPersona, match="parley personas import"):
        await store.publish("brightwater")
    await store.import_cards([DENTAL])
    with pytest.raises(UnknownPersona, match="did you mean 'brightwater-dental'"):
        await store.set_number("+15550100", "brightwater-dentl")
    with pytest.raises(UnknownVersion):
        await store.version(999)
    with pytest.raises(BadNumber, match="country code"):
        await store.set_number("5550100", DENTAL.slug)


async def test_the_list_shows_published_and_draft(store: PersonaStore) -> None:
    await store.import_cards([DENTAL])
    await store.save_draft(DENTAL.model_copy(update={"title": "Draft title"}))
    await store.save_draft(BANK)
    await store.set_number("+15550101", DENTAL.slug)
    dental, bank = await store.personas()
    assert (dental.title, dental.published_number, dental.draft_number) == (DENTAL.title, 1, 2)
    assert dental.numbers == ("+15550101",)
    assert (bank.published_version_id, bank.published_number, bank.draft_number) == (None, None, 1)


def test_fields_at_their_defaults_do_not_change_the_hash() -> None:
    bare = DENTAL.model_copy(update={"keywords": ()})
    fields = bare.model_dump(mode="json")
    del fields["keywords"]
    assert content_hash(PersonaCard.model_validate(fields)) == content_hash(bare)
    assert content_hash(bare) != content_hash(DENTAL)


async def test_a_number_keeps_its_settings_when_its_persona_changes(store: PersonaStore) -> None:
    await store.import_cards([DENTAL, BANK])
    assert await store.number_settings("+15550100") is None
    await store.set_number("+15550100", DENTAL.slug)
    plain = await store.number_settings("+15550100")
    assert plain == NumberSettings("+15550100", DENTAL.slug)
    settings = NumberSettings(
        "+15550100", DENTAL.slug, "+15550111", "wait", 60, "Mon-Fri 08:00-20:00", "Europe/Berlin", BANK.slug, "sales"
    )
    await store.save_number(settings)
    assert await store.numbers() == [settings]
    await store.set_number("+15550100", BANK.slug)
    assert await store.number_settings("+15550100") == replace(settings, persona_slug=BANK.slug)
    with pytest.raises(UnknownPersona):
        await store.save_number(replace(settings, out_of_hours="nobody"))
    with pytest.raises(BadNumber):
        await store.save_number(replace(settings, human_number="+1 555 0111"))


async def test_of_two_who_tie_one_number_at_once_one_is_told(store: PersonaStore) -> None:
    await store.import_cards([DENTAL, BANK])
    for n in range(8):
        wanted = [NumberSettings(f"+1555010{n}", card.slug) for card in (DENTAL, BANK)]
        saves = [store.save_number(each, base="") for each in wanted]
        done = await asyncio.gather(*saves, return_exceptions=True)
        assert {type(each) for each in done} == {type(None), NumberChanged}
        assert await store.number_settings(wanted[0].number) == wanted[done.index(None)]


async def test_of_two_who_change_one_number_at_once_one_is_told(store: PersonaStore) -> None:
    await store.import_cards([DENTAL, BANK])
    first = NumberSettings("+15550100", DENTAL.slug)
    await store.save_number(first)
    wanted = [
        replace(first, queue_name="desk"),
        replace(first, persona_slug=BANK.slug),
        replace(first, out_of_hours=BANK.slug),
    ]
    saves = [store.save_number(each, base=settings_hash(first)) for each in wanted]
    clear = store.clear_number(first.number, base=settings_hash(first))
    done = await asyncio.gather(*saves, clear, return_exceptions=True)
    assert [type(each) for each in done].count(type(None)) == 1
    assert all(isinstance(each, NumberChanged | UnknownNumber | None) for each in done)
    kept = await store.number_settings(first.number)
    assert kept == (None if done[3] is None else wanted[done.index(None)])


async def test_a_persona_may_be_called_like_a_word_for_the_night(store: PersonaStore) -> None:
    await store.import_cards([DENTAL, BANK.model_copy(update={"slug": "message"})])
    night = NumberSettings("+15550100", DENTAL.slug, out_of_hours="message")
    for settings in (night, NumberSettings("+15550101", "message", out_of_hours="message")):
        await store.save_number(settings)
        assert await store.number_settings(settings.number) == settings
    await store.clear_number("+15550101")
    await store.archive("message")  # the night is a sentence, not this persona


async def test_personas_of_a_number_are_locked_in_one_order(store: PersonaStore) -> None:
    await store.import_cards([DENTAL, BANK])
    pairs = ((DENTAL.slug, BANK.slug), (BANK.slug, DENTAL.slug)) * 5
    for n in range(3):
        wanted = [NumberSettings(f"+155501{n}{i}", one, out_of_hours=two) for i, (one, two) in enumerate(pairs)]
        await asyncio.gather(*(store.save_number(each) for each in wanted))
    assert len(await store.numbers()) == 30


async def test_an_archived_persona_is_out_of_the_way_and_comes_back(store: PersonaStore) -> None:
    await store.import_cards([DENTAL, BANK])
    version = await store.published(DENTAL.slug)
    await store.archive(DENTAL.slug)
    await store.archive(DENTAL.slug)
    assert [each.slug for each in await store.personas()] == [BANK.slug]
    assert [each.archived_at is None for each in await store.personas(also_archived=True)] == [False, True]
    assert await store.version(version.id) == await store.published(DENTAL.slug) == version
    for refused in (
        store.save_draft(greeting(DENTAL, "Hi."), base=""),
        store.publish(DENTAL.slug),
        store.restore(DENTAL.slug, 1),
        store.set_number("+15550100", DENTAL.slug),
        store.save_number(NumberSettings("+15550100", DENTAL.slug)),
        store.save_number(NumberSettings("+15550100", BANK.slug, out_of_hours=DENTAL.slug)),
    ):
        with pytest.raises(PersonaArchived, match="parley personas restore brightwater-dental"):
            await refused
    (imported,) = await store.import_cards([greeting(DENTAL, "Hi.")], replace_edits=True)
    assert (imported.outcome, imported.version) == (ImportOutcome.ARCHIVED, version)
    await store.bring_back(DENTAL.slug)
    assert await store.archived_at(DENTAL.slug) is None
    await store.set_number("+15550100", DENTAL.slug)
    for nobody in (store.archive("nobody"), store.bring_back("nobody")):
        with pytest.raises(UnknownPersona):
            await nobody


async def test_a_persona_that_answers_a_number_is_not_archived(store: PersonaStore, database: Database) -> None:
    await store.import_cards([DENTAL, BANK])
    await store.save_number(NumberSettings("+15550101", BANK.slug, out_of_hours=DENTAL.slug))
    await store.set_number("+15550100", DENTAL.slug)
    with pytest.raises(PersonaInUse, match=r"answers \+15550100, \+15550101; give another persona"):
        await store.archive(DENTAL.slug)
    assert await store.archived_at(DENTAL.slug) is None
    with pytest.raises(IntegrityError):  # nor can it be deleted
        async with database.session() as session:
            await session.execute(delete(PersonaRow))
    await store.clear_number("+15550100")
    await store.save_number(NumberSettings("+15550101", BANK.slug))
    await store.archive(DENTAL.slug)


async def test_of_who_archives_and_who_gives_a_number_at_once_one_is_told(store: PersonaStore) -> None:
    await store.import_cards([DENTAL, BANK])
    for n in range(8):
        setting = NumberSettings(f"+1555010{n}", DENTAL.slug)
        done = await asyncio.gather(
            store.archive(DENTAL.slug), store.save_number(setting, base=""), return_exceptions=True
        )
        is_away = await store.archived_at(DENTAL.slug) is not None
        expected = (type(None), PersonaArchived) if is_away else (PersonaInUse, type(None))
        assert (type(done[0]), type(done[1])) == expected
        assert is_away == (await store.number_settings(setting.number) is None)
        await (store.bring_back(DENTAL.slug) if is_away else store.clear_number(setting.number))
