"""Tying numbers to personas in the console."""

from html import unescape

import pytest

from personas.db import Database
from personas.library import load_library
from personas.numbers import NumberSettings
from personas.store import PersonaStore
from tests.personas.browser import Browser

DENTAL, BANK, *_ = load_library()
WHOLE = {
    "number": "+1 (555) 0100",
    "persona_slug": DENTAL.slug,
    "human_number": "+1 555 765 4321",
    "on_full": "wait",
    "wait_limit_s": "60",
    "hours": "Mon-Fri 08:00-20:00",
    "timezone": "Europe/Berlin",
    "out_of_hours": BANK.slug,
    "queue_name": "desk",
}
SAVED = NumberSettings(
    "+15550100", DENTAL.slug, "+15557654321", "wait", 60, WHOLE["hours"], "Europe/Berlin", BANK.slug, "desk"
)


@pytest.fixture
async def store(database: Database) -> PersonaStore:
    store = PersonaStore(database)
    await store.import_cards([DENTAL, BANK])
    return store


async def test_a_number_is_tied_changed_and_cleared(browser: Browser, store: PersonaStore) -> None:
    assert "No phone number is answered yet" in await browser.get("/numbers")
    saved = await browser.post("/numbers", await browser.get("/numbers"), **WHOLE)
    assert saved.status_code == 303
    assert await store.numbers() == [SAVED]
    page = await browser.get("/numbers?edit=%2B15550100")
    assert "Change +15550100" in page
    assert (await browser.post("/numbers", page, **WHOLE | {"persona_slug": BANK.slug, "hours": ""})).status_code == 303
    (changed,) = await store.numbers()
    assert (changed.persona_slug, changed.hours, changed.human_number) == (BANK.slug, "", "+15557654321")
    stale = await browser.post("/numbers/clear", page, number="+15550100")
    assert (stale.status_code, "Somebody else changed" in stale.text) == (409, True)
    page = await browser.get("/numbers?edit=%2B15550100")
    assert (await browser.post("/numbers/clear", page, number="+15550100")).status_code == 303
    assert await store.numbers() == []
    assert (await browser.post("/numbers/clear", page, number="+15550100")).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "field", "problem"),
    [
        ({"number": "5550100"}, "number", "needs its + and country code"),
        ({"number": ""}, "number", "needs its + and country code"),
        ({"human_number": "x"}, "human_number", "needs its + and country code"),
        ({"persona_slug": ""}, "persona_slug", "Choose a persona"),
        ({"persona_slug": "nobody"}, "persona_slug", "There is no persona 'nobody'"),
        ({"on_full": "panic"}, "on_full", "Choose what callers meet"),
        ({"on_full": "human", "human_number": ""}, "human_number", "need a number to dial"),
        ({"wait_limit_s": "²"}, "wait_limit_s", "The wait limit is 5 to 600 seconds."),
        ({"wait_limit_s": "9" * 5000}, "wait_limit_s", "The wait limit is 5 to 600 seconds."),
        ({"hours": "always"}, "hours", "The opening hours 'always' can't be read"),
        ({"timezone": ""}, "timezone", "such as Europe/Berlin; say which"),
        ({"timezone": "Mars"}, "timezone", "'Mars' is none"),
        ({"timezone": "Mars", "hours": ""}, "timezone", "'Mars' is none"),
        ({"out_of_hours": "nobody"}, "out_of_hours", "There is no persona 'nobody'"),
        ({"queue_name": "<b>"}, "queue_name", "A queue's name has at most 64 letters"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_cannot_be_used_is_told_and_stays_in_the_form(
    browser: Browser, store: PersonaStore, wrong: dict[str, str], field: str, problem: str
) -> None:
    refused = await browser.post("/numbers", await browser.get("/numbers"), **WHOLE | wrong)
    assert refused.status_code == 422
    marked = unescape(refused.text).partition(f'id="{field}-problem">')[2]
    assert problem in marked.partition("<")[0]
    assert f'name="{field}" aria-invalid="true" autofocus' in refused.text
    assert refused.text.count("aria-invalid") == 1
    assert 'value="desk"' in refused.text or "queue_name" in wrong
    assert "<b>" not in refused.text
    assert await store.numbers() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_somebody_else_set_meanwhile_is_not_replaced_unseen(browser: Browser, store: PersonaStore) -> None:
    empty = await browser.get("/numbers")
    await store.save_number(SAVED)
    taken = await browser.post("/numbers", empty, **WHOLE | {"persona_slug": BANK.slug})
    assert (taken.status_code, "is set already" in taken.text) == (422, True)
    page = await browser.get("/numbers?edit=%2B15550100")
    await store.set_number("+15550100", BANK.slug)
    refused = await browser.post("/numbers", page, **WHOLE | {"queue_name": "other"})
    assert (refused.status_code, "Somebody else changed" in refused.text) == (422, True)
    assert 'value="other"' in refused.text
    assert (await store.numbers())[0].persona_slug == BANK.slug
    again = await browser.get("/numbers?edit=%2B15550100")
    assert [(await browser.post("/numbers", again, **WHOLE)).status_code for _ in range(2)] == [303, 303]
    with pytest.raises(AssertionError, match="No persona answers"):
        await browser.get("/numbers?edit=%2B19999999999")
