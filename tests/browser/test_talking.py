"""Talking to a persona in a real browser whose microphone hears a voice: from the click to the recording."""

import asyncio
import re
import shutil
import threading
import wave
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect, sync_playwright

from agent.duplex import AgentFrame, HeardWord
from agent.own_voice import OwnVoice
from crm.call import Call
from crm.tracks import SAMPLE_HZ
from tests.agent.conftest import furnished as furnished
from tests.agent.exchange import SILENCE, Exchange, ScriptedEngine, card, exchange
from tests.browser.conftest import ARGUMENTS, DESK

pytestmark = pytest.mark.browser

WORDS = {2: " Hello,", 3: " this", 4: " is", 5: " Ann."}
TALK = "/personas/acme-help/talk"
UNPROCESSED = """
    const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async ({audio}) => {
        if (!audio.echoCancellation) throw new Error("echo is not cancelled");
        const off = {echoCancellation: false, noiseSuppression: false, autoGainControl: false};
        return window.heard = await get({audio: {...audio, ...off}});
    };
"""
"""An agent who repeats the caller is an echo that the browser would cancel, whenever it finds it."""


@dataclass
class Line:
    """A server in a thread of its own; its engine repeats the caller one frame later, and says some words."""

    where: Exchange
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def row(self, call_id: str) -> Call:
        async def ended() -> Call:
            async with asyncio.timeout(10):
                while True:
                    row = await self.where.state.calls.call(call_id)
                    if row.ended_at:
                        return row
                    await asyncio.sleep(0.05)

        return self.run(ended())


def repeating() -> ScriptedEngine:
    engine = ScriptedEngine()

    def play(index: int) -> AgentFrame:
        heard = engine.sessions[-1].heard
        words = tuple(HeardWord(word, 500, 900) for word in ("good", "morning")) if index == 20 else ()
        return AgentFrame(index, heard[-1] if heard else SILENCE, text=WORDS.get(index, ""), heard=words)

    engine.play = play
    return engine


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, furnished: Path) -> Iterator[Line]:
    started: Future[tuple[Line, asyncio.Event]] = Future()

    async def serve() -> None:
        async with exchange(tmp_path_factory.mktemp("line"), furnished, repeating(), caller_silence_s=0) as where:
            await where.state.personas.save_draft(card().model_copy(update={"title": "Acme help, better"}))
            over = asyncio.Event()
            started.set_result((Line(where, asyncio.get_running_loop()), over))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    line, over = started.result(30)
    try:
        yield line
    finally:
        line.loop.call_soon_threadsafe(over.set)
        thread.join(30)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """[N] int16 at 8 kHz: what the browser's microphone hears, over and over."""
    speak = OwnVoice("auto")
    speak.load_quietly()
    text = "Good morning, could you please tell me what it costs, and whether you are open on Saturdays?"
    pcm = asyncio.run(asyncio.wait_for(_spoken(speak, text), 20))
    return np.concatenate([pcm, np.zeros(4_000, np.int16)])


async def _spoken(speak: OwnVoice, text: str) -> np.ndarray:
    spoken = await speak(text, "NATF2")
    return np.asarray(spoken, np.int16)


@pytest.fixture(scope="module")
def context(line: Line, voice: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser with a voice at its microphone, signed in."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("Chromium is missing; Debian: apt-get install chromium")
    heard = tmp_path_factory.mktemp("voice") / "microphone.wav"
    with wave.open(str(heard), "wb") as file:
        file.setparams((1, 2, 48_000, 0, "NONE", ""))
        file.writeframes(np.repeat(voice, 6).tobytes())
    arguments = [
        *ARGUMENTS,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={heard}",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        with browser.new_context(**DESK, base_url=line.where.url) as context:
            context.set_default_timeout(15_000)
            page = context.new_page()
            page.goto("/login")
            page.get_by_label("User name").fill("admin")
            page.get_by_label("Password").fill("correct horse")
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("heading", name="Calls").wait_for()
            page.close()
            yield context
        browser.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert [text for text in complaints if "status of 4" not in text] == []


def begin(page: Page) -> str:
    """Call; return our id of the call, once it is connected."""
    page.goto(f"{TALK}?version=2")
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Connected: speak.")
    href = page.locator('[data-talk="link"]').get_attribute("href")
    assert href
    return href.rpartition("/")[2]


def test_from_the_click_to_the_recording(page: Page, line: Line, voice: np.ndarray) -> None:
    page.add_init_script(UNPROCESSED)
    page.goto("/personas/acme-help?version=2")
    page.get_by_role("link", name="Talk to it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Talk to Acme help, better")
    page.get_by_role("button", name="Call", exact=True).click()
    words = page.get_by_role("list", name="What is being said")
    expect(words.locator(".side-agent .turn-text")).to_have_text("Hello, this is Ann.", use_inner_text=True)
    expect(words.locator(".side-caller .turn-text")).to_have_text("good morning")
    for side in ("You", "Ann"):
        page.wait_for_function("meter => meter.value > 0.2", arg=page.get_by_label(side, exact=True).element_handle())
    expect(page.get_by_label("Time running")).to_have_text(re.compile(r"^0:0[3-9]$"), timeout=15_000)
    page.get_by_role("button", name="Hang up").click()
    expect(page.get_by_role("status")).to_have_text("You hung up.")
    expect(page.get_by_role("button", name="Call again")).to_be_visible()

    page.get_by_role("link", name="Recording, words and score").click()
    page.locator("#player.ready").wait_for()
    expect(page.locator(".turns")).to_contain_text("good morning")
    row = line.row(page.url.rpartition("/")[2])
    assert (row.is_test, row.outcome) == (True, "caller_hung_up")
    sound = line.where.state.recordings.file(row.recording)
    check_sound(sound, voice)


def check_sound(path: Path, voice: np.ndarray) -> None:
    """See that both tracks hold the voice, whole and as loud as a telephone's, the agent's a moment later."""
    with wave.open(str(path)) as file:
        tracks = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2).T.astype(float)
    assert tracks.shape[1] > 2.5 * SAMPLE_HZ
    caller, agent = (_envelope(track) for track in tracks)
    spoken = _envelope(voice.astype(float))
    assert np.abs(tracks).max() < 32_700, "clipped"
    assert _likeness(np.tile(spoken, 2), caller)[0] > 0.8
    alike, later = _likeness(agent, caller[:-60])
    assert alike > 0.8
    assert 0 <= later * 10 < 600
    talking = caller > caller.max() / 20
    assert talking.mean() > 0.2


def _envelope(samples: np.ndarray) -> np.ndarray:
    """Loudness every 10 ms."""
    return np.sqrt((samples[: len(samples) // 80 * 80].reshape(-1, 80) ** 2).mean(axis=1))


def _likeness(long: np.ndarray, short: np.ndarray) -> tuple[float, int]:
    """The best correlation of a stretch of ``long`` with ``short``, and where it begins."""
    length = min(len(short), len(long) - 1, 250)
    short = short[:length]
    found = [np.corrcoef(long[at : at + length], short)[0, 1] for at in range(len(long) - length)]
    return float(np.nanmax(found)), int(np.nanargmax(found))


def test_muted_is_silent_and_keys_are_pressed(page: Page, line: Line) -> None:
    call_id = begin(page)
    page.get_by_role("button", name="Mute", exact=True).click()
    expect(page.get_by_role("button", name="Unmute")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("meter => meter.value === 0", arg=page.get_by_label("You", exact=True).element_handle())
    page.get_by_text("Keys", exact=True).click()
    page.get_by_role("button", name="0", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Nobody is rung", timeout=15_000)
    assert line.row(call_id).outcome == "transferred"


def test_a_second_tab_is_told_to_wait(page: Page, context: BrowserContext) -> None:
    page.goto(TALK)
    page.get_by_role("button", name="Call", exact=True).dblclick()
    expect(page.get_by_role("status")).to_have_text("Connected: speak.")
    expect(page.get_by_role("alert")).to_be_hidden()
    with context.new_page() as other:
        other.goto(TALK)
        other.get_by_role("button", name="Call", exact=True).click()
        expect(other.get_by_role("alert")).to_contain_text("Another tab")
    page.get_by_role("button", name="Hang up").click()
    expect(page.get_by_role("status")).to_have_text("You hung up.")


def test_closing_the_tab_hangs_up(context: BrowserContext, line: Line) -> None:
    page = context.new_page()
    call_id = begin(page)
    page.close()
    assert line.row(call_id).outcome == "caller_hung_up"


@pytest.mark.parametrize(
    ("error", "said"),
    [("NotAllowedError", "was refused"), ("NotFoundError", "No microphone"), ("NotReadableError", "another program")],
)
def test_a_microphone_that_cannot_be_had_is_one_sentence(page: Page, error: str, said: str) -> None:
    page.add_init_script(
        f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '{error}'))"
    )
    page.goto(TALK)
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.get_by_role("button", name="Call again")).to_be_focused()


def test_hanging_up_before_the_call_is_connected_waits_for_nothing(page: Page, line: Line) -> None:
    page.add_init_script("""
        const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            await new Promise((allow) => (window.allow = allow));
            return (window.heard = await get(wanted));
        };
    """)
    page.goto(TALK)
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Waiting for the microphone …")
    page.get_by_role("button", name="Hang up").click()
    expect(page.get_by_role("button", name="Call again")).to_be_focused()
    page.evaluate("allow()")
    page.wait_for_function("() => window.heard?.getTracks()[0].readyState === 'ended'")


def test_hanging_up_while_the_line_answers_frees_its_slot(page: Page, line: Line) -> None:
    def late(route: Route) -> None:
        page.get_by_role("button", name="Hang up").click()
        route.continue_()

    page.route("**/browser/voice", late)
    page.goto(TALK)
    with page.expect_response("**/browser/action"):
        page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("button", name="Call again")).to_be_visible()
    assert line.where.state.engine.capacity().used == 0


def test_an_insecure_address_is_told(page: Page) -> None:
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
    page.goto(TALK)
    expect(page.get_by_role("alert")).to_contain_text("by https, or from localhost")
    expect(page.get_by_role("button", name="Call")).to_be_disabled()


def test_a_card_that_cannot_be_published_has_no_telephone(page: Page, line: Line) -> None:
    personas = line.where.state.personas
    saved = line.run(personas.save_draft(card("bell-help", "Bell").model_copy(update={"voice": "OWN"})))
    page.goto(f"/personas/bell-help/talk?version={saved.number}")
    expect(page.get_by_text("there is no voice")).to_be_visible()
    expect(page.get_by_role("button", name="Call")).to_have_count(0)


def test_an_unplugged_microphone_ends_the_call(page: Page, line: Line) -> None:
    page.add_init_script(UNPROCESSED)
    call_id = begin(page)
    page.evaluate("heard.getTracks()[0].dispatchEvent(new Event('ended'))")
    expect(page.get_by_role("alert")).to_contain_text("unplugged")
    assert line.row(call_id).outcome == "caller_hung_up"


def test_a_lost_connection_is_told(page: Page, line: Line) -> None:
    call_id = begin(page)

    async def drop() -> None:
        line.where.state.live.control(call_id)._output._socket._send_now.__self__.transport.abort()

    line.run(drop())
    expect(page.get_by_role("alert")).to_contain_text("connection to the server was lost")
    assert line.row(call_id).outcome == "stream_failed"


@pytest.mark.parametrize(
    "change", ["address.pathname = '/browser/nothing'", "address.searchParams.set('Account', 'somebody')"]
)
def test_a_socket_that_is_not_opened_is_told(context: BrowserContext, line: Line, change: str) -> None:
    with context.new_page() as page:  # it complains of the socket itself
        page.add_init_script(
            "const Real = WebSocket; window.WebSocket = class extends Real {"
            f"constructor(address) {{ address = new URL(address); {change}; super(address); }} }}"
        )
        page.goto(TALK)
        page.get_by_role("button", name="Call", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("may not let WebSockets pass")
    assert line.where.state.engine.capacity().used == 0


def test_a_request_that_is_refused_says_why(page: Page) -> None:
    page.route("**/browser/voice", lambda route: route.continue_(post_data=f"{route.request.post_data}0"))
    page.goto(TALK)
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("was not signed by this server")
