"""Putting a persona away in the console, and bringing it back."""

from html import unescape

import pytest

from personas.card_files import card_text
from personas.db import Database
from personas.library import load_library
from personas.store import PersonaStore
from tests.personas.browser import Browser

DENTAL, BANK, *_ = load_library()
PAGE = f"/personas/{DENTAL.slug}"


@pytest.fixture
async def store(database: Database) -> PersonaStore:
    store = PersonaStore(database)
    await store.import_cards([DENTAL, BANK])
    return store


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_persona_is_archived_and_brought_back(browser: Browser, store: PersonaStore) -> None:
    assert "archived persona" not in await browser.get("/personas")
    page = await browser.get(PAGE)
    edit = await browser.get(f"{PAGE}/edit")
    assert (await browser.post(f"{PAGE}/archive", page)).headers["location"] == PAGE
    away = await browser.get(PAGE)
    assert "Bring back" in away
    assert f"{PAGE}/edit" not in away
    listed = await browser.get("/personas")
    assert DENTAL.title not in listed
    assert "1 archived persona<" in listed
    assert DENTAL.title in await browser.get("/personas?archived=true")
    assert DENTAL.slug not in (await browser.get("/numbers"))
    for refused in (
        await browser.save(edit, card_text(DENTAL).replace("Thank you for calling", "Hello from")),
        await browser.save(await browser.get("/new-persona"), card_text(DENTAL)),
    ):
        assert (refused.status_code, "is archived; bring it back" in refused.text) == (422, True)
        assert "greeting:" in refused.text
    assert (await browser.post(f"{PAGE}/publish", edit)).status_code == 409
    with pytest.raises(AssertionError, match="bring it back on its page"):
        await browser.get(f"{PAGE}/edit")
    assert (await browser.post(f"{PAGE}/bring-back", away)).headers["location"] == PAGE
    assert f"{PAGE}/edit" in await browser.get(PAGE)
    assert (await browser.post("/personas/nobody/archive", page)).status_code == 404
    assert (await browser.post("/personas/nobody/bring-back", page)).status_code == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_persona_that_answers_a_number_says_which(browser: Browser, store: PersonaStore) -> None:
    before = await browser.get(PAGE)
    await store.set_number("+15550100", DENTAL.slug)
    assert "It answers +15550100. Give another persona" in await browser.get(PAGE)
    refused = await browser.post(f"{PAGE}/archive", before)
    assert (refused.status_code, "answers +15550100; give another" in unescape(refused.text)) == (409, True)
