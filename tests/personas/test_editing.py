"""Editing role cards in the console: nothing that somebody typed or saved is lost, and nothing wrong is kept."""

import re
from html import unescape

import pytest

from personas.card_files import card_text, parse_card
from personas.db import Database
from personas.library import load_library
from personas.store import PersonaStore, content_hash
from tests.personas.browser import Browser, hidden_field

DENTAL = load_library()[0]
SLUG = DENTAL.slug
TEXT = card_text(DENTAL)
HELLO, GOOD_DAY = (TEXT.replace(DENTAL.greeting, words) for words in ("Hello.", "Good day."))


def textarea(page: str, name: str = "text") -> str:
    found = re.search(rf'<textarea[^>]* id="{name}"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    assert found, page
    return unescape(found[1])


@pytest.fixture
async def store(database: Database) -> PersonaStore:
    store = PersonaStore(database)
    await store.import_cards([DENTAL])
    return store


only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_a_draft_is_saved_shown_and_published(browser: Browser, store: PersonaStore) -> None:
    saved = await browser.save(await browser.get(f"/personas/{SLUG}/edit"), HELLO.replace("\n", "\r\n"))
    assert (saved.status_code, saved.headers["Location"]) == (303, f"/personas/{SLUG}?version=2")
    assert (await store.published(SLUG)).card == DENTAL
    page = await browser.get(saved.headers["Location"])
    assert "What differs from the version that answers calls" in page
    assert "Saved by admin" in page
    assert (await browser.post(f"/personas/{SLUG}/publish", page)).status_code == 303
    assert (await store.published(SLUG)).card.greeting == "Hello."


async def test_of_two_who_edit_the_second_sees_both_texts_and_neither_is_lost(
    browser: Browser, store: PersonaStore
) -> None:
    one, other = await browser.get(f"/personas/{SLUG}/edit"), await browser.get(f"/personas/{SLUG}/edit")
    assert (await browser.save(one, HELLO)).status_code == 303
    refused = await browser.save(other, GOOD_DAY, note="mine")
    assert refused.status_code == 409
    assert (await store.versions(SLUG))[0].card.greeting == "Hello."
    assert parse_card(textarea(refused.text, "their-text")).greeting == "Hello."
    assert textarea(refused.text) == GOOD_DAY
    assert hidden_field(refused.text, "note") == "mine"
    assert "<code>greeting</code>" in refused.text
    assert (await browser.save(refused.text, GOOD_DAY)).status_code == 303  # having seen theirs
    assert (await store.versions(SLUG))[0].card.greeting == "Good day."


@only_sqlite
async def test_what_was_saved_already_is_no_conflict(browser: Browser, store: PersonaStore) -> None:
    page = await browser.get(f"/personas/{SLUG}/edit")
    assert [(await browser.save(page, HELLO)).status_code for _ in range(2)] == [303, 303]  # a double click
    assert len(await store.versions(SLUG)) == 2


@only_sqlite
async def test_a_card_may_ask_for_a_voice_of_ones_own(browser: Browser, store: PersonaStore) -> None:
    page = await browser.get(f"/personas/{SLUG}/edit")
    assert (await browser.save(page, TEXT.replace("voice: NATF2", "voice: clara"))).status_code == 303
    assert (await store.versions(SLUG))[0].card.voice == "clara"


@only_sqlite
async def test_an_import_or_publishing_meanwhile_is_seen(browser: Browser, store: PersonaStore) -> None:
    page = await browser.get(f"/personas/{SLUG}/edit")
    await store.import_cards([DENTAL.model_copy(update={"greeting": "From a file."})])
    refused = await browser.save(page, HELLO)
    assert refused.status_code == 409
    assert "Theirs: version 2" in refused.text


@only_sqlite
async def test_a_draft_that_changed_is_not_published_unseen(browser: Browser, store: PersonaStore) -> None:
    await store.save_draft(parse_card(HELLO))
    page = await browser.get(f"/personas/{SLUG}?version=2")
    await store.save_draft(parse_card(GOOD_DAY))
    assert (await browser.post(f"/personas/{SLUG}/publish", page)).status_code == 409
    assert (await store.published(SLUG)).card == DENTAL


@only_sqlite
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "this is no role card"),
        (TEXT.replace("title: Dental office front desk", "title: ''"), "title: write something here."),
        (TEXT.replace("title: Dental", "title: " + "x" * 400 + " Dental"), "title: at most 400 characters."),
        (TEXT.replace("title: ", "title: \x07"), "line 2: a character that can't be spoken or shown; remove it."),
        (TEXT.replace(f"slug: {SLUG}", "slug: another"), "slug: this persona's slug stays 'brightwater-dental'"),
        (TEXT.replace("voice: NATF2", "voice: Bob"), "voice: there is no voice 'Bob'"),
        (TEXT + "\nscript: <script>alert(1)</script>", "script: remove this field or mend its spelling."),
        ("x" * 100_001, "the card is longer than 100000 characters"),
    ],
)
async def test_a_card_that_cannot_be_used_is_told_and_stays_in_the_form(
    browser: Browser, store: PersonaStore, text: str, problem: str
) -> None:
    refused = await browser.save(await browser.get(f"/personas/{SLUG}/edit"), text)
    assert refused.status_code == 422
    assert problem in unescape(refused.text)
    assert "<script>alert" not in refused.text
    assert textarea(refused.text) == text
    assert len(await store.versions(SLUG)) == 1


@only_sqlite
async def test_a_card_is_checked_without_being_saved(browser: Browser, store: PersonaStore) -> None:
    text = HELLO.replace("$120", "120")
    page = await browser.post("/personas", await browser.get(f"/personas/{SLUG}/edit"), text=text, action="check")
    assert page.status_code == 200
    assert "Greet the caller with: Hello." in page.text
    assert "an amount is written like $120" in page.text
    assert textarea(page.text) == text
    assert len(await store.versions(SLUG)) == 1


@only_sqlite
async def test_a_new_persona_begins_with_a_card_that_can_be_used(browser: Browser, store: PersonaStore) -> None:
    page = await browser.get("/new-persona")
    saved = await browser.save(page, textarea(page), note="from the skeleton")
    assert saved.headers["Location"] == "/personas/my-office?version=1"
    assert "answers no calls yet" in await browser.get(saved.headers["Location"])
    taken = await browser.save(page, TEXT.replace("title: Dental", "title: Another"))
    assert taken.status_code == 422
    assert "'brightwater-dental' is taken by another persona" in unescape(taken.text)
    assert len(await store.versions(SLUG)) == 1


@only_sqlite
async def test_an_old_version_is_begun_again_from(browser: Browser, store: PersonaStore) -> None:
    await store.import_cards([parse_card(HELLO)])
    await store.save_draft(parse_card(GOOD_DAY))
    page = await browser.get(f"/personas/{SLUG}/edit?version=1")
    assert "Saving replaces draft 3" in page
    assert parse_card(textarea(page)) == DENTAL
    assert (await browser.save(page, textarea(page), note=hidden_field(page, "note"))).status_code == 303
    newest = (await store.versions(SLUG))[0]
    assert (newest.number, newest.card, newest.note) == (3, DENTAL, "From version 1")


@only_sqlite
async def test_a_persona_that_is_not_there_cannot_be_edited_or_published(browser: Browser, store: PersonaStore) -> None:
    page = await browser.get(f"/personas/{SLUG}/edit")
    assert (await browser.post("/personas/nobody/publish", page)).status_code == 404
    for path in ("/personas/nobody/edit", f"/personas/{SLUG}/edit?version=9"):
        with pytest.raises(AssertionError, match="no "):
            await browser.get(path)


@pytest.mark.parametrize("card", load_library(), ids=lambda card: card.slug)
def test_every_card_is_written_as_it_is_read(card) -> None:
    assert parse_card(card_text(card)) == card
    assert content_hash(parse_card(card_text(card))) == content_hash(card)
