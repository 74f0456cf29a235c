"""Every page in light, dark and on a phone: nothing overflows; with --screenshots DIR each is kept as a picture."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
LOOKS = {
    "light": {"width": 1280, "height": 900, "scheme": "light"},
    "dark": {"width": 1280, "height": 900, "scheme": "dark"},
    "phone": {"width": 390, "height": 844, "scheme": "light"},
}
PAGES = {
    "calls": "/calls",
    "call": "/calls/{whole}",
    "call-refused": "/calls/{refused}",
    "call-lost": "/calls/{lost}",
    "call-live": "/calls/{live}",
    "personas": "/personas",
    "persona": "/personas/brightwater-dental",
    "numbers": "/numbers",
    "not-found": "/calls/nothing",
}


@pytest.mark.parametrize("look", LOOKS)
def test_pages_fit(chromium: Browser, site, new_site, look: str, request: pytest.FixtureRequest) -> None:
    folder: Path | None = request.config.getoption("--screenshots", default=None)
    chosen = LOOKS[look]
    context = chromium.new_context(
        viewport={"width": chosen["width"], "height": chosen["height"]}, color_scheme=chosen["scheme"]
    )
    try:
        page = context.new_page()

        def look_at(name: str, url: str) -> None:
            page.goto(url)
            page.wait_for_load_state("networkidle")
            if folder:
                page.screenshot(path=folder / f"{name}-{look}.png", full_page=True)
            assert overflow(page) <= 0, f"{name} is wider than the window"

        look_at("login", f"{site.url}/login")
        for origin, pages in (
            (new_site.url, {"calls-empty": "/calls", "personas-empty": "/personas"}),
            (site.url, PAGES),
        ):
            page.goto(f"{origin}/login")
            page.get_by_label("User name").fill("admin")
            page.get_by_label("Password").fill("correct horse battery")
            page.get_by_role("button", name="Sign in").click()
            for name, path in pages.items():
                look_at(name, origin + path.format(**site.calls))
    finally:
        context.close()


def overflow(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
