"""The console in a real browser: signing in, finding a call, listening to it, following a quote."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.barriers import barriers

pytestmark = pytest.mark.browser


def test_signing_in_leads_to_the_page_that_was_wanted(context: BrowserContext, site, sign_in) -> None:
    page = context.new_page()
    sign_in(page, site, password="wrong password", path=f"/calls/{site.calls['whole']}")
    expect(page.get_by_role("alert")).to_have_text("The user name or the password is wrong.")
    expect(page.get_by_label("Password")).to_be_focused()
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dental office front desk")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/login$"))
    page.goto(f"/calls/{site.calls['whole']}")
    expect(page).to_have_url(re.compile("/login"))


def test_a_form_without_its_token_is_refused(page: Page) -> None:
    status = page.evaluate("fetch('/logout', {method: 'POST', body: new URLSearchParams()}).then(r => r.status)")
    assert status == 403
    page.goto("/calls")
    expect(page.get_by_role("heading", level=1)).to_have_text("Calls")


def test_calls_are_listed_filtered_and_paged(page: Page) -> None:
    rows = page.locator("#calls tbody tr")
    expect(rows).to_have_count(30)
    expect(rows.nth(1)).to_contain_text("The caller hung up")
    expect(rows.nth(1)).to_contain_text("+1 ••• 143")
    assert "+12025550143" not in page.content()
    expect(rows.nth(2)).to_contain_text("No persona answers this number")
    time = rows.nth(1).locator("time")
    assert re.fullmatch(r"[-0-9]{10} [:0-9]{5} [A-Z]+", time.text_content()), "times are the console's, by its zone"
    assert time.get_attribute("title").endswith("(Europe/Berlin)")

    page.get_by_label("State").select_option("refused")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile("status=refused"))
    page.get_by_label("Ending").select_option("time_limit")
    expect(page.locator("#calls")).to_contain_text("No call matches")

    page.goto("/calls")
    page.get_by_label("Until").fill("2020-01-01")
    expect(page.locator("#calls")).to_contain_text("No call matches")
    expect(page).to_have_url(re.compile("until=2020-01-01$"))
    page.goto("/calls?status=refused")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert len(download.value.path().read_text().splitlines()) == 2

    page.goto("/calls")
    first = rows.first.locator("a").get_attribute("href")
    page.get_by_role("link", name="Older calls").click()
    expect(page).to_have_url(re.compile("cursor="))
    assert rows.first.locator("a").get_attribute("href") != first
    page.get_by_role("link", name="Newest calls").click()
    assert rows.first.locator("a").get_attribute("href") == first


def test_filters_are_folded_on_a_phone_and_opened_by_keyboard(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto("/calls")
    state, fold = page.get_by_label("State"), page.locator("summary", has_text="Filter the list")
    expect(state).not_to_be_visible()
    expect(page.locator("#calls tbody tr").nth(1)).to_be_in_viewport(ratio=1)
    page.get_by_role("link", name="Live now").focus()
    page.keyboard.press("Tab")
    expect(fold).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Persona", exact=True)).to_be_focused()
    state.select_option("refused")
    expect(page.get_by_role("status").filter(has_text="1 call found")).to_have_count(1)  # a screen reader says so
    page.reload()
    expect(state).to_be_visible()  # what leaves calls out is seen
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("/calls")
    expect(state).to_be_visible()
    expect(fold).not_to_be_visible()


def test_a_refused_number_stands_again_as_it_was_typed(page: Page) -> None:
    page.goto("/numbers?edit=%2B15550100")
    page.get_by_label("Human", exact=True).fill("extension 7")
    page.get_by_label("Opening hours").fill("Mon-Fri 08:00-20:00")
    page.get_by_role("button", name="Save").click()
    human = page.get_by_label("Human", exact=True)
    expect(human).to_be_focused()
    expect(human).to_have_value("extension 7")
    expect(human).to_have_accessible_description(re.compile("needs its \\+ and country code.*takes calls"))
    expect(page.get_by_label("Opening hours")).to_have_value("Mon-Fri 08:00-20:00")
    assert not barriers(page)


def test_a_list_that_loads_itself_again_keeps_the_keyboards_place(page: Page) -> None:
    page.clock.install()
    page.goto("/calls")
    link = page.locator("#calls tbody tr a").nth(1)
    link.focus()
    page.evaluate("document.querySelector('#calls .ending').textContent = 'from before'")
    page.clock.fast_forward(5_000)
    expect(page.locator("#calls .ending").first).not_to_have_text("from before")
    expect(link).to_be_focused()


def test_a_recording_plays_from_the_turn_that_was_chosen(page: Page, site) -> None:
    page.goto(f"/calls/{site.calls['whole']}")
    page.locator("#player.ready").wait_for()
    expect(page.locator("#wave canvas").first).to_be_visible()
    expect(page.locator("#clock")).to_have_text("0:00 / 0:42")

    expect(page).to_have_title(re.compile(r"Call of [-0-9]{10} [:0-9]{5}: Dental office front desk · Parley"))
    page.locator("#turn-7").get_by_role("button").click()
    expect(page.locator("#clock")).to_have_text(re.compile("0:2[3-9] / 0:42"))
    expect(page.locator("#turn-7")).to_have_class(re.compile("current"))
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()

    page.locator("#clock").click()  # away from the button, so that keys are the page's
    before = page.evaluate("audio.currentTime")
    page.keyboard.press("ArrowRight")
    _expect_to_be_at(page, before + 5, within_s=0.5)
    page.get_by_label("Speed").select_option("1.5")
    assert page.evaluate("audio.playbackRate") == 1.5

    wave = page.locator("#wave")
    wave.click(position={"x": wave.bounding_box()["width"] / 2, "y": 20})
    _expect_to_be_at(page, 21, within_s=1)


def test_a_quote_leads_to_the_turn_it_stands_in(page: Page, site) -> None:
    page.set_viewport_size({"width": 1280, "height": 400})
    page.goto(f"/calls/{site.calls['whole']}")
    page.locator("#player.ready").wait_for()
    failed = page.locator(".verdicts").first
    expect(failed).to_contain_text("Not kept")
    expect(page.locator("#turn-9")).not_to_be_in_viewport()
    failed.get_by_role("link", name="take two tablets").click()
    expect(page.locator("#turn-9")).to_be_in_viewport()
    expect(page.locator("#turn-9 mark")).to_have_text("take two tablets")
    _expect_to_be_at(page, 32.3, within_s=0.1)


def _expect_to_be_at(page: Page, at_s: float, within_s: float) -> None:
    page.wait_for_function("([at, within]) => Math.abs(audio.currentTime - at) < within", arg=[at_s, within_s])


def test_a_call_says_that_its_judge_is_still_to_come(page: Page, site) -> None:
    page.goto(f"/calls/{site.calls['unjudged']}")
    expect(page.get_by_role("region", name="Role kept")).to_contain_text("The judge is still to come")
    page.goto(f"/calls/{site.calls['long']}")
    expect(page.get_by_role("region", name="Role kept")).to_contain_text("failed at this call 5 times")
    page.goto(f"/calls/{site.calls['whole']}")
    expect(page.locator("#judge")).to_have_count(0)


def test_a_call_says_who_interrupted_whom(page: Page, site) -> None:
    page.goto(f"/calls/{site.calls['whole']}")
    expect(page.locator("#turn-4")).to_contain_text("cut off")
    expect(page.locator("#turn-5")).to_have_class(re.compile("backchannel"))
    expect(page.locator("#turn-6")).to_contain_text("interrupts")
    expect(page.locator("#turn-7")).to_contain_text("after 1.2 s")
    timing = page.get_by_role("region", name="Timing")
    expect(timing).to_contain_text("noticing that the caller is done")


def test_a_call_in_progress_shows_itself_again_when_it_has_ended(page: Page, site, end_live_call) -> None:
    page.goto(f"/calls/{site.calls['ending']}")
    expect(page.get_by_role("status")).to_contain_text("in progress")
    end_live_call()
    expect(page.get_by_text("The agent hung up")).to_be_visible(timeout=8_000)


def test_the_persona_shows_its_versions(page: Page) -> None:
    page.goto("/personas")
    page.get_by_role("link", name="Dental office front desk").click()
    expect(page.locator("#fact-cleaning_price")).to_contain_text("$120")
    expect(page.get_by_role("region", name="Role prompt")).to_contain_text("Marisol Vega")
    page.get_by_role("link", name="Version 2").click()
    expect(page.get_by_text("not the version that answers calls")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Let me have someone call you back.")


def test_two_tabs_that_edit_one_card_lose_nothing(page: Page) -> None:
    other = page.context.new_page()
    for tab, title in ((page, "title: Cards, by day"), (other, "title: Cards, by night")):
        tab.goto("/personas/copperfield-bank/edit")
        area = tab.get_by_label("Role card, in YAML")
        area.fill(area.input_value().replace("title: Bank card services", title))
    page.get_by_role("button", name="Save as draft").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cards, by day")
    other.get_by_role("button", name="Save as draft").click()
    expect(other.get_by_role("alert")).to_contain_text("somebody else saved")
    expect(other.locator("#their-text")).to_have_value(re.compile("by day"))
    expect(other.get_by_label("Yours, not saved yet")).to_have_value(re.compile("by night"))
    expect(other.get_by_role("region", name="Where they differ")).to_contain_text("Cards, by day")
    assert not barriers(other)
    other.get_by_role("button", name="Save this text in place of theirs").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("Cards, by night")
    expect(other.get_by_role("region", name="What differs from the version that answers calls")).to_be_visible()


def test_a_card_that_was_not_saved_is_offered_again(page: Page, site, sign_in) -> None:
    page.goto("/personas/fernline-internet/edit")
    area = page.get_by_label("Role card, in YAML")
    area.fill(area.input_value() + "\n# unfinished")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.context.clear_cookies()
    page.get_by_role("button", name="Save as draft").click()  # signed out by now
    sign_in(page, site, path="/login?next=/personas/fernline-internet/edit")
    page.get_by_role("button", name="Put it back").click()
    expect(area).to_have_value(re.compile("# unfinished"))
    page.goto("/personas")
    assert asked == ["beforeunload"]


def test_light_and_dark_can_be_switched_and_stay(page: Page) -> None:
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.goto("/personas")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")


def test_the_navigation_opens_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    numbers = page.get_by_role("link", name="Numbers")
    expect(numbers).not_to_be_visible()
    page.get_by_role("button", name="Show the navigation").click()
    numbers.click()
    expect(page.get_by_text("+15550100", exact=True)).to_be_visible()
