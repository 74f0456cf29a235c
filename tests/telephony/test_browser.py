"""A browser as a carrier: what is signed for whom, where it must come from, and a media socket that nothing hurts."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.carrier import ConnectStream, HangUp, Instruction, SayAndHangUp
from telephony.carriers.browser import BrowserCarrier
from telephony.carriers.browser.carrier import BEGIN_S, SIGNATURE_HEADER
from telephony.carriers.browser.media import MOST_PACKET_BYTES, BrowserMedia
from telephony.carriers.browser.passes import Passes
from telephony.errors import BadSignature, BadWebhook
from telephony.media import PHONE, AudioPacket, DigitPressed, MarkPlayed, MessageIgnored, StreamStarted, StreamStopped

ORIGIN = "https://calls.example.com"
PAGE = {"origin": ORIGIN, "host": "calls.example.com"}
START = json.dumps({"event": "start", "call": "BR1", "account": "ann", "parameters": {"nonce": "n", "odd": 7}})


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_dialled_call_is_signed_for_its_user_its_persona_and_a_minute() -> None:
    clock = Clock()
    carrier = BrowserCarrier(ORIGIN, b"key", Passes(b"key", clock))
    dialled = carrier.dial("version 7", "ann")
    headers = PAGE | {SIGNATURE_HEADER: dialled.begin.signature}
    for form in ({"Account": "bob"}, {"To": "version 8"}, {"CallId": "BR2"}, {"Until": "99999"}):
        with pytest.raises(BadSignature, match="not signed"):
            carrier.check_webhook("/browser/voice", {**dialled.begin.form, **form}, headers)
    with pytest.raises(BadSignature, match="not signed"):
        carrier.check_webhook("/browser/action", dialled.begin.form, headers)
    carrier.check_webhook("/browser/voice", dialled.begin.form, headers)
    carrier.check_socket(dialled.media, PAGE)
    with pytest.raises(BadSignature, match="not signed"):
        carrier.check_socket(dialled.media.replace("ann", "bob"), PAGE)
    assert parse_qs(urlsplit(dialled.media).query)["CallId"] == [dialled.call_id]
    clock.now += BEGIN_S
    for check in (
        lambda: carrier.check_webhook("/browser/voice", dialled.begin.form, headers),
        lambda: carrier.check_socket(dialled.media, PAGE),
    ):
        with pytest.raises(BadSignature, match="too long ago"):
            check()
    carrier.check_webhook("/browser/action", dialled.after.form, PAGE | {SIGNATURE_HEADER: dialled.after.signature})
    assert carrier.dial("version 7", "ann").call_id != dialled.call_id


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"origin": "http://localhost:8000", "host": "localhost:8000"}, True),
        ({"origin": "https://calls.example.com", "host": "10.0.0.1:8000"}, True),
        ({"origin": "https://evil.example", "host": "calls.example.com"}, False),
        ({"origin": "null", "host": "calls.example.com"}, False),
        ({"host": "calls.example.com"}, False),
        ({"origin": "", "host": ""}, False),
    ],
)
def test_only_pages_of_this_server_may_call(headers: dict[str, str], is_ours: bool) -> None:
    carrier = BrowserCarrier(ORIGIN, b"key")
    dialled = carrier.dial("version 7", "ann")
    signed = headers | {SIGNATURE_HEADER: dialled.begin.signature}
    if is_ours:
        carrier.check_webhook("/browser/voice", dialled.begin.form, signed)
        carrier.check_socket(dialled.media, headers)
        return
    for check in (
        lambda: carrier.check_webhook("/browser/voice", dialled.begin.form, signed),
        lambda: carrier.check_socket(dialled.media, headers),
    ):
        with pytest.raises(BadSignature, match="page of this server"):
            check()


@pytest.mark.parametrize("field", ["CallId", "Account", "To"])
@pytest.mark.parametrize("value", ["", "x" * 200, "a\nb"])
def test_a_form_names_the_field_that_is_wrong(field: str, value: str) -> None:
    form = {"CallId": "BR1", "Account": "ann", "To": "version 7"} | {field: value}
    with pytest.raises(BadWebhook, match=field):
        BrowserCarrier(ORIGIN, b"key").inbound_call(form)


@pytest.mark.parametrize(
    ("instruction", "document"),
    [
        (
            ConnectStream({"nonce": "a&b"}),
            '<Response><Stream><Parameter name="nonce" value="a&amp;b" /></Stream></Response>',
        ),
        (SayAndHangUp("No <more>.\x00"), "<Response><Say>No &lt;more&gt;.</Say><Hangup /></Response>"),
        (HangUp(), "<Response><Hangup /></Response>"),
    ],
)
def test_instructions_are_documents(instruction: Instruction, document: str) -> None:
    assert BrowserCarrier(ORIGIN, b"key").render(instruction) == document


@pytest.fixture
def media() -> BrowserMedia:
    protocol = BrowserMedia()
    protocol.receive(START)
    return protocol


def test_a_call_reads_as_events() -> None:
    protocol = BrowserMedia()
    assert isinstance(protocol.receive(b"\x00\x00\x00\x00" + b"\xff" * 160), MessageIgnored)
    assert isinstance(protocol.receive('{"event":"stop"}'), MessageIgnored)
    assert protocol.receive(START) == StreamStarted("BR1", "BR1", "ann", {"nonce": "n"}, PHONE)
    assert isinstance(protocol.receive(START), MessageIgnored)
    assert protocol.receive((258).to_bytes(4, "big") + b"\x01" * 160) == AudioPacket(5_160, 258, b"\x01" * 160)
    assert protocol.receive('{"event":"dtmf","digit":"#"}') == DigitPressed("#")
    assert protocol.receive('{"event":"mark","name":"7"}') == MarkPlayed("7")
    assert protocol.receive('{"event":"stop"}') == StreamStopped()


def test_what_the_page_is_sent(media: BrowserMedia) -> None:
    assert json.loads(media.audio(b"\xff" * 3)) == {"event": "media", "payload": "////"}
    assert json.loads(media.mark("7")) == {"event": "mark", "name": "7"}
    assert json.loads(media.clear()) == {"event": "clear"}
    assert json.loads(media.told(side="agent", text=' "Hi')) == {"event": "told", "side": "agent", "text": ' "Hi'}


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x00\x00\x01",
        b"\x00" * (5 + MOST_PACKET_BYTES),
        "[" * 5_000,
        '{"event":"mark","name":"' + "x" * 9_000 + '"}',
        '{"event":"dtmf","digit":"12"}',
        '{"event":["mark"]}',
    ],
)
def test_what_is_odd_is_ignored_and_never_repeated(media: BrowserMedia, message: str | bytes) -> None:
    ignored = media.receive(message)
    assert isinstance(ignored, MessageIgnored)
    assert "xxx" not in ignored.reason


@settings(max_examples=60)
@given(st.one_of(st.text(), st.binary(), st.dictionaries(st.text(), st.text() | st.integers()).map(json.dumps)))
def test_nothing_raises(message: str | bytes) -> None:
    protocol = BrowserMedia()
    protocol.receive(message)
    protocol.receive(START)
    protocol.receive(message)
