"""Customers in a real browser: written down, found again, imported from a file."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.barriers import barriers

pytestmark = pytest.mark.browser


def test_a_customer_is_found_and_the_way_back_leads_to_the_search(page: Page) -> None:
    page.goto("/customers")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("link", name="More customers").click()
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_label("Part of a name").fill("customer 0012")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("tbody tr")).to_have_count(10)
    assert "0012" not in page.url
    page.get_by_role("link", name="Customer 00127").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Customer 00127")
    page.get_by_label("When this customer calls").select_option("brightwater-dental")
    expect(page.locator("#role-prompt")).to_contain_text("Their name is Customer 00127. Has order 127.")
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(10)
    page.get_by_label("Part of a name").fill("+49 30 1000127")
    page.get_by_role("button", name="Find").click()
    expect(page).to_have_url(re.compile(r"/customers/\d+$"))


def test_a_file_is_checked_then_imported(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "kunden.csv"
    file.write_bytes(
        'numbers;name;profile\r\n+49 40 7654321;Zoë Ząb;"Two\r\nlines."\r\n040 1;Bad;\r\n'.encode("utf-8-sig")
    )
    page.goto("/customers/import")
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Check only").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("main")).to_contain_text("Nothing was written")
    assert not barriers(page, dark_too=True)
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_label("Leave bad rows out").check()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("main")).to_contain_text("The good rows are imported")
    page.goto("/customers")
    page.get_by_label("Part of a name").fill("zoe zab")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="Zoë Ząb").click()
    expect(page.get_by_label("Profile")).to_contain_text("Two")
    page.locator("summary", has_text="Remove").click()
    page.get_by_role("button", name="Remove this customer").click()
    expect(page).to_have_url(re.compile("/customers$"))


def test_of_two_who_edit_the_second_sees_both_texts(page: Page, site) -> None:
    form = f"/customers/{site.calls['ada']}/edit"
    page.goto(form)
    other = page.context.new_page()
    other.goto(form)
    for window, profile in ((other, "Theirs."), (page, "Mine.")):
        window.get_by_label("Profile").fill(profile)
        window.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else saved this customer meanwhile")
    expect(page.get_by_role("region", name="Theirs, as it is now")).to_contain_text("Theirs.")
    assert not barriers(page, dark_too=True)
    page.get_by_role("button", name="Save in place of theirs").click()
    expect(page.get_by_role("region", name="Profile")).to_contain_text("Mine.")
    page.goto("/customers/new")
    page.get_by_label("Numbers").fill("+12025550143")
    page.get_by_label("Name").fill("Eve")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Numbers")).to_be_focused()
    assert not barriers(page, dark_too=True)
    page.get_by_role("link", name="Look at Ada Lovelace").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ada Lovelace")


def test_a_file_that_is_too_large_is_told_before_it_is_sent(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    with file.open("wb") as large:
        large.truncate(24_000_001)
    page.goto("/customers/import")
    field = page.get_by_label("CSV file")
    field.set_input_files(file)
    assert field.evaluate("field => field.validationMessage") == "Choose a file of at most 24 MB."
