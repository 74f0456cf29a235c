"""A live call in a real browser: what is said appears, the clock runs, and the buttons act after asking twice."""

import asyncio
import re
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from agent.duplex import AgentFrame, HeardWord
from crm.call import Call, Handoff
from tests.agent.conftest import furnished as furnished
from tests.agent.exchange import SILENCE, TONE, Exchange, ScriptedEngine, ended_row, exchange
from tests.agent.line.phone import Line
from tests.browser.barriers import barriers
from tests.browser.conftest import DESK

pytestmark = pytest.mark.browser

WORDS = {5: " Hello,", 6: " this", 7: " is", 8: " Ann."}


def talk(index: int) -> AgentFrame:
    """The agent greets; then the caller has said three words."""
    heard = tuple(HeardWord(word, 900, 1_000) for word in ("what", "a", "day")) if index == 20 else ()
    return AgentFrame(index, TONE if index in WORDS else SILENCE, text=WORDS.get(index, ""), heard=heard)


@dataclass
class Phoning:
    """A server in a thread of its own, with a call on it that goes on until the server ends it."""

    where: Exchange
    loop: asyncio.AbstractEventLoop
    carrier_call_id: str

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def row(self) -> Call:
        return self.run(ended_row(self.where.state.calls, self.carrier_call_id))


@pytest.fixture
def phoning(tmp_path: Path, furnished: Path) -> Iterator[Phoning]:
    started: Future[tuple[Phoning, asyncio.Event]] = Future()

    async def serve() -> None:
        engine = ScriptedEngine(talk)
        async with exchange(tmp_path, furnished, engine, caller_silence_s=0) as where, where.call() as stream:
            over = asyncio.Event()
            started.set_result((Phoning(where, asyncio.get_running_loop(), stream.call_id), over))
            line = asyncio.ensure_future(Line(stream).live(600, speed=2))
            await over.wait()
            line.cancel()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    phoning, over = started.result(30)
    try:
        yield phoning
    finally:
        phoning.loop.call_soon_threadsafe(over.set)
        thread.join(30)


@pytest.fixture
def page(chromium: Browser, phoning: Phoning) -> Iterator[Page]:
    """The live call's page, found through the list."""
    with chromium.new_context(**DESK, base_url=phoning.where.url) as context:
        context.set_default_timeout(15_000)
        complaints: list[str] = []
        context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page = context.new_page()
        page.goto("/calls")
        page.get_by_label("User name").fill("admin")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Live now").click()
        page.locator("#calls tbody .row-link").click()
        yield page
        assert [text for text in complaints if "status of 4" not in text] == []


def test_what_is_said_appears_and_the_call_is_ended_from_its_page(page: Page, phoning: Phoning) -> None:
    words = page.get_by_role("list", name="What is being said")
    expect(words.locator(".side-agent .turn-text")).to_have_text("Hello, this is Ann.", use_inner_text=True)
    expect(words.locator(".side-caller .turn-text")).to_have_text("what a day")
    before = page.locator("#live-clock").inner_text()
    expect(page.locator("#live-clock")).not_to_have_text(before)
    expect(page.locator("#live-clock")).to_have_text(re.compile(r"^\d+:\d\d$"))

    end = page.get_by_role("button", name="End the call")
    expect(end).not_to_be_visible()
    page.locator("summary", has_text="Hang up").click()
    end.click()
    expect(page.get_by_text("Ended from its page by")).to_be_visible(timeout=10_000)
    row = phoning.row()
    assert (row.outcome, row.reason) == ("agent_hung_up", "admin ended the call from its page.")
    assert page.locator("#live-words").count() == 0


def test_the_call_is_handed_to_a_number_that_is_typed(page: Page, phoning: Phoning) -> None:
    page.locator("summary", has_text="Hand over").click()
    number = page.get_by_label("To this number")
    number.fill("call my boss")
    page.get_by_role("button", name="Hand the caller over").click()
    assert number.evaluate("field => field.validity.patternMismatch")
    number.fill("+1 (((55)")  # as far as a browser can tell, a number
    page.get_by_label("How", exact=True).select_option("queue")
    page.get_by_role("button", name="Hand the caller over").click()
    expect(number).to_be_focused()
    expect(number).to_have_value("+1 (((55)")
    expect(number).to_have_accessible_description(re.compile("Not handed over. .* country code"))
    expect(page.get_by_label("How", exact=True)).to_have_value("queue")
    assert not barriers(page)
    number.fill("+1 555 0177")
    page.get_by_label("How", exact=True).select_option("warm")
    page.get_by_role("button", name="Hand the caller over").click()
    assert phoning.row().handoff == Handoff("warm", "+15550177", "operator")
    expect(page.get_by_text("Given to a human").first).to_be_visible(timeout=10_000)
    expect(page.get_by_role("region", name="Events")).to_contain_text("Handed over from its page by admin")
