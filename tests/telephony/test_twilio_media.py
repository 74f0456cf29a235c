"""Twilio's media messages: what they mean, and that none of them hurts."""

import base64
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telephony.carriers.twilio.media import TwilioMedia
from telephony.media import (
    PHONE,
    AudioPacket,
    DigitPressed,
    MarkPlayed,
    MediaEvent,
    MessageIgnored,
    StreamStarted,
    StreamStopped,
)

START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"nonce": "n", "odd": 7},
    },
}
MEDIA = {
    "event": "media",
    "sequenceNumber": "3",
    "streamSid": "MZ1",
    "media": {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": base64.b64encode(b"\x01" * 160).decode()},
}


@pytest.fixture
def media() -> TwilioMedia:
    protocol = TwilioMedia()
    protocol.receive(json.dumps(START))
    return protocol


def changed(message: dict, **parts: object) -> str:
    return json.dumps(message | parts)


def test_a_call_reads_as_events():
    protocol = TwilioMedia()
    assert protocol.receive('{"event":"connected","protocol":"Call","version":"1.0.0"}') is None
    assert protocol.receive(json.dumps(START)) == StreamStarted("MZ1", "CA1", "AC1", {"nonce": "n"}, PHONE)
    assert protocol.receive(json.dumps(MEDIA)) == AudioPacket(20, 3, b"\x01" * 160)
    assert protocol.receive('{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"#"}}') == DigitPressed("#")
    assert protocol.receive('{"event":"mark","streamSid":"MZ1","mark":{"name":"m"}}') == MarkPlayed("m")
    assert protocol.receive('{"event":"stop","streamSid":"MZ1","stop":{}}') == StreamStopped()


def test_what_is_sent_is_twilios(media):
    assert json.loads(media.audio(b"\xff" * 160)) == {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"payload": base64.b64encode(b"\xff" * 160).decode()},
    }
    assert json.loads(media.mark("m")) == {"event": "mark", "streamSid": "MZ1", "mark": {"name": "m"}}
    assert json.loads(media.clear()) == {"event": "clear", "streamSid": "MZ1"}


def test_nothing_can_be_sent_before_the_start():
    for send in (TwilioMedia().clear, lambda: TwilioMedia().audio(b""), lambda: TwilioMedia().mark("m")):
        with pytest.raises(RuntimeError):
            send()


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"\x00\x01", "binary"),
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("[" * 60_000, "not JSON"),
        ("x" * 1_000_000, "longer than 64 KiB"),
        ('{"event":"sing"}', "not one this version knows"),
        ('{"event":["media"]}', "not one this version knows"),
        (changed(MEDIA, media=None), "'media' is not an object"),
        (changed(MEDIA, media=[]), "'media' is not an object"),
        (changed(MEDIA, media=MEDIA["media"] | {"payload": None}), "no payload"),
        (changed(MEDIA, media=MEDIA["media"] | {"payload": "AAA"}), "not base64"),
        (changed(MEDIA, media=MEDIA["media"] | {"payload": "é"}), "not base64"),
        (changed(MEDIA, media=MEDIA["media"] | {"payload": ""}), "empty"),
        (changed(MEDIA, media=MEDIA["media"] | {"timestamp": "soon"}), "'timestamp' is not a whole number"),
        (changed(MEDIA, media=MEDIA["media"] | {"timestamp": "-1"}), "'timestamp' is not a whole number"),
        (changed(MEDIA, media=MEDIA["media"] | {"timestamp": "9" * 5_000}), "'timestamp' is not a whole number"),
        (changed(MEDIA, media=MEDIA["media"] | {"timestamp": True}), "'timestamp' is not a whole number"),
        (changed(MEDIA, sequenceNumber=None), "'sequenceNumber' is not a whole number"),
        (changed(MEDIA, media=MEDIA["media"] | {"track": "outbound"}), "not the caller's"),
        (changed(MEDIA, streamSid="MZ2"), "another stream"),
        (json.dumps(START), "started already"),
        ('{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"12"}}', "not a key"),
        ('{"event":"mark","streamSid":"MZ1","mark":{"name":5}}', "'name' is not a short text"),
    ],
)
def test_what_cannot_be_used_is_ignored_with_a_reason(media, message, why):
    event = media.receive(message)
    assert isinstance(event, MessageIgnored)
    assert why in event.reason
    assert isinstance(media.receive(json.dumps(MEDIA)), AudioPacket)


@pytest.mark.parametrize("event", ["media", "dtmf", "mark", "stop"])
def test_nothing_counts_before_the_start(event):
    assert TwilioMedia().receive(changed(MEDIA, event=event)) == MessageIgnored("it came before the stream's start")


def test_a_start_for_other_audio_is_refused():
    start = START["start"] | {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1}}
    assert "other than 8 kHz" in TwilioMedia().receive(changed(START, start=start)).reason


numbers = st.integers(-1, 10**16).map(str) | st.sampled_from(["", "٣", "1_0", " 1", "007"])
payloads = st.binary(max_size=9).map(lambda audio: base64.b64encode(audio).decode()) | st.text("AB+/=_", max_size=6)


@settings(max_examples=300, deadline=None)
@given(numbers, numbers, payloads, st.sampled_from(["MZ1", "MZ2", ""]))
def test_a_packet_means_the_same_however_it_is_written(sequence, at_ms, payload, stream_id):
    audio = {"track": "inbound", "chunk": "7", "timestamp": at_ms, "payload": payload}
    packet = {"event": "media", "sequenceNumber": sequence, "media": audio, "streamSid": stream_id}
    events = []
    for separators in ((",", ":"), (", ", ": ")):
        protocol = TwilioMedia()
        protocol.receive(json.dumps(START))
        events.append(protocol.receive(json.dumps(packet, ensure_ascii=False, separators=separators)))
    assert events[0] == events[1]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=3,
)
names = st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop"])
fields = st.fixed_dictionaries(
    {"event": names | anything},
    optional={name: anything for name in ("start", "media", "dtmf", "mark", "stop", "streamSid", "sequenceNumber")},
)
inner = st.fixed_dictionaries(
    {},
    optional={n: anything for n in ("payload", "timestamp", "track", "digit", "name", "callSid", "customParameters")},
)
shaped = st.builds(lambda event, part, sid: {"event": event, event: part, "streamSid": sid}, names, inner, anything)


@settings(max_examples=1_000, deadline=None)
@given(st.text() | st.binary() | (fields | shaped | anything).map(json.dumps), st.booleans())
@example('{"event":"start","start":{"callSid":"\\ud800"}}', False)
def test_a_thousand_malformed_messages_raise_nothing(message, started):
    protocol = TwilioMedia()
    if started:
        protocol.receive(json.dumps(START))
    event = protocol.receive(message)
    assert event is None or isinstance(event, MediaEvent)
    if started:
        assert isinstance(protocol.receive(json.dumps(MEDIA)), AudioPacket)
