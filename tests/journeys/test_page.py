"""The whole way of a call: signed webhook, media socket, engine, row, score, and its page read in a browser."""

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from agent.commands.call import spoken_steps
from agent.demo import DemoReport, demo_server, demo_settings, place_call
from agent.server import RunningServer
from agent.settings import Settings, load
from telephony.simulator.script import parse_script
from tests.browser.conftest import DESK

PASSWORD = "correct horse battery"
SCRIPT = """
steps:
  - say: Hello, how much is a cleaning?
  - wait: true
  - hang_up: true
"""


@contextmanager
def phoned(settings: Settings) -> Iterator[DemoReport]:
    """A server that a caller has phoned, up for the length of the block.

    It has a thread of its own: Playwright holds this one's event loop.
    """
    placed: Future[tuple[DemoReport, asyncio.AbstractEventLoop, RunningServer]] = Future()

    async def serve() -> None:
        steps = await spoken_steps(parse_script(SCRIPT), settings.tts, voice="VARM1")
        async with demo_server(settings) as server:
            report = await place_call(server, steps, lambda event: None)
            placed.set_result((report, asyncio.get_running_loop(), server))
            await server.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if placed.done():
                raise
            placed.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    report, loop, server = placed.result(120)
    try:
        yield report
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(30)


def open_page(browser: Browser, url: str) -> Page:
    """Follow a link to a page of the console as somebody who has to sign in first."""
    page = browser.new_context(**DESK).new_page()
    page.goto(url)
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    return page


@pytest.mark.browser
def test_what_was_said_on_the_phone_is_on_the_page(database_url: str, tmp_path: Path, chromium: Browser) -> None:
    settings = load(data_dir=tmp_path, database_url=database_url, host="127.0.0.1", port=0, admin_password=PASSWORD)
    with phoned(demo_settings(settings)) as report:
        assert report.heard.steps == ("Connect",)
        assert not report.heard.errors
        page = open_page(chromium, report.page)

        expect(page.get_by_role("heading", level=1)).to_have_text("Dental office front desk")
        page.locator("#player.ready").wait_for()
        length_s = (report.call.duration_ms or 0) // 1000
        expect(page.locator("#clock")).to_have_text(re.compile(rf"^0:00 / 0:{length_s:02d}$"))
        turns = page.get_by_role("list", name="Turns")
        expect(turns.locator(".side-agent .turn-text").first).to_contain_text("this is Marisol")
        expect(turns.locator(".side-caller .turn-text").first).to_contain_text("cleaning")
        expect(turns).to_contain_text("A regular cleaning is $120.")
        kept = page.get_by_role("region", name="Role kept")
        expect(kept.get_by_role("link", name="$120")).to_be_visible()
        expect(page.get_by_role("region", name="Timing")).to_contain_text("noticing that the caller is done")

        page.get_by_role("link", name="Calls", exact=True).first.click()
        expect(page.locator("#calls tbody tr")).to_have_count(1)
        page.context.close()
