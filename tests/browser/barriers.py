"""What keeps people from using a page, as far as axe-core finds it: WCAG 2.1, levels A and AA, and good practice."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")


def barriers(page: Page, *, dark_too: bool = False) -> list[str]:
    """Return what axe finds once all that is folded is open, which it stays."""
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
    page.evaluate(AXE_SCRIPT)
    found = _run(page, {"runOnly": RULES})
    if dark_too:
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # colours that are on their way are neither
        found += _run(page, {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}})
        page.emulate_media(color_scheme=None, reduced_motion=None)
    return found


def _run(page: Page, options: dict[str, object]) -> list[str]:
    result = page.evaluate("options => axe.run(options)", options | {"resultTypes": ["violations"]})
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in result["violations"]
        for node in violation["nodes"]
    ]
