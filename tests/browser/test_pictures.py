"""Every page on a phone: nothing overflows, nothing keeps people from using it (axe-core).

With --screenshots DIR each page is looked at in four looks, and kept as a picture.
"""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.barriers import barriers

pytestmark = pytest.mark.browser
LOOKS: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 360, "height": 780}, "color_scheme": "light"},
    "tablet": {"viewport": {"width": 768, "height": 1024}, "color_scheme": "light"},
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}
EMPTY_PAGES = {
    "calls-empty": "/calls",
    "overview-empty": "/overview",
    "customers-empty": "/customers",
    "personas-empty": "/personas",
    "numbers-empty": "/numbers",
}
PAGES = {
    "calls": "/calls",
    "overview": "/overview",
    "call": "/calls/{whole}",
    "call-refused": "/calls/{refused}",
    "call-lost": "/calls/{lost}",
    "call-live": "/calls/{live}",
    "call-long": "/calls/{long}",
    "call-held": "/calls/{held}",
    "call-erased": "/calls/{erased}",
    "erase": "/calls/{whole}/erase",
    "erase-held": "/calls/{held}/erase",
    "erased": "/calls/{erased}/erase",
    "calls-of-one": "/calls?caller_of={whole}",
    "personas": "/personas",
    "persona": "/personas/brightwater-dental",
    "persona-draft": "/personas/brightwater-dental?version=2",
    "persona-talk": "/personas/brightwater-dental/talk?version=2",
    "persona-edit": "/personas/brightwater-dental/edit",
    "persona-new": "/new-persona",
    "numbers": "/numbers",
    "number": "/numbers?edit=%2B15550100",
    "audit": "/audit",
    "users": "/users",
    "user": "/users?edit=quinn",
    "account": "/account",
    "customers": "/customers",
    "customer": "/customers/{ada}?persona=brightwater-dental",
    "customer-odd": "/customers/{odd}?persona=brightwater-dental",
    "customer-odd-edit": "/customers/{odd}/edit",
    "customer-edit": "/customers/{ada}/edit",
    "customer-new": "/customers/new?call={refused}",
    "customers-import": "/customers/import",
    "not-found": "/calls/nothing",
    "no-page": "/nowhere",
}


DARK_TOO = ("login", "calls", "overview", "call", "persona-draft", "number")  # each kind of thing is on one of them


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wanted = list(LOOKS) if metafunc.config.getoption("--screenshots", default=None) else ["phone"]
    metafunc.parametrize("look", wanted)


def test_pages_fit(chromium: Browser, site, new_site, sign_in, look: str, request: pytest.FixtureRequest) -> None:
    folder: Path | None = request.config.getoption("--screenshots", default=None)
    with chromium.new_context(**LOOKS[look]) as context:
        page = context.new_page()
        _look_at(page, f"login-{look}", f"{site.url}/login", folder)
        for served, pages in ((new_site, EMPTY_PAGES), (site, PAGES)):
            sign_in(page, served)
            for name, path in pages.items():
                _look_at(page, f"{name}-{look}", served.url + path.format(**served.calls), folder)


def _look_at(page: Page, name: str, url: str, folder: Path | None) -> None:
    page.goto(url)
    if page.locator("#player").count():
        page.locator("#player.ready").wait_for()
    if folder:
        page.evaluate("document.fonts.ready")
        page.screenshot(path=folder / f"{name}.png", full_page=True)
    found = barriers(page, dark_too=name.removesuffix("-phone") in DARK_TOO)
    assert not found, "\n".join((name, *found))
    excess = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert excess <= 0, f"{name} is {excess} px wider than the window"
