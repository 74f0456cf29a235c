"""Messages become pipeline frames and frames messages; nothing that arrives raises."""

import base64
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.pipeline.frames import AgentAudio, AudioPlayed, CallerAudio
from agent.pipeline.serializer import MediaSerializer
from telephony.audio import g711
from telephony.carriers.twilio.media import TwilioMedia
from telephony.media import PHONE, DigitPressed


def started() -> MediaSerializer:
    protocol = TwilioMedia()
    start = {"streamSid": "MZ1", "callSid": "CA1", "accountSid": "AC1"}
    protocol.receive(json.dumps({"event": "start", "streamSid": "MZ1", "start": start}))
    return MediaSerializer(protocol, PHONE)


def message(event: str, **parts: object) -> str:
    return json.dumps({"event": event, "streamSid": "MZ1", "sequenceNumber": "2"} | parts)


def media(at_ms: int, pcm: np.ndarray) -> str:
    payload = base64.b64encode(g711.encode(pcm)).decode()
    return message("media", media={"timestamp": str(at_ms), "payload": payload})


def test_four_packets_make_one_frame() -> None:
    serializer = started()
    pcm = g711.decode(g711.encode((np.arange(1280) * 20 - 12_000).astype(np.int16)))
    made = [serializer.receive(media(20 * n, pcm[160 * n : 160 * n + 160])) for n in range(8)]
    assert [len(frames or []) for frames in made] == [0, 0, 0, 1, 0, 0, 0, 1]
    frames = [frame for part in made for frame in part or [] if isinstance(frame, CallerAudio)]
    assert [frame.at_ms for frame in frames] == [0, 80]
    assert np.array_equal(np.concatenate([frame.pcm for frame in frames]), pcm)


def test_a_lost_packet_is_silence_and_counted() -> None:
    serializer = started()
    loud = np.full(160, 8_000, np.int16)
    made = [serializer.receive(media(at_ms, loud)) for at_ms in (0, 40, 60)]
    (frame,) = made[-1] or []
    assert isinstance(frame, CallerAudio)
    assert (frame.pcm[160:320] == 0).all()
    assert (frame.pcm[320:] > 7_000).all()
    assert serializer.line.filled_ms == 20


def test_marks_digits_and_the_end() -> None:
    serializer = started()
    (played,) = serializer.receive(message("mark", mark={"name": "41"})) or []
    assert isinstance(played, AudioPlayed)
    assert played.index == 41
    assert serializer.receive(message("mark", mark={"name": "somebody else's"})) == ()
    assert serializer.receive(message("dtmf", dtmf={"digit": "#"})) == (DigitPressed("#"),)
    assert serializer.receive(message("stop")) is None


def test_a_frame_is_one_media_message_and_a_mark() -> None:
    pcm = np.full(640, 1_000, np.int16)
    audio, mark = (json.loads(sent) for sent in started().send(AgentAudio(pcm, index=7)))
    payload = base64.b64decode(audio["media"]["payload"])
    assert len(payload) == 640
    assert np.abs(g711.decode(payload) - 1_000).max() < 40
    assert mark["mark"]["name"] == "7"


@given(
    st.one_of(
        st.text(max_size=50), st.binary(max_size=50), st.sampled_from(["[]", '{"event": "media", "media": null}'])
    )
)
def test_nothing_that_arrives_raises(arrived: str | bytes) -> None:
    assert started().receive(arrived) in ((), None)


@given(st.integers(1, 200))
def test_packets_that_may_wait_make_no_frame(packet_ms: int) -> None:
    serializer, may_wait, waited = started(), 0, 0
    for index in range(200):
        packet = media(index * packet_ms, np.zeros(8 * packet_ms, np.int16))
        made = serializer.receive(packet)
        if may_wait > 1:
            assert not made
            may_wait -= 1
            waited += 1
        else:
            assert made or not index or waited == 0
            length, may_wait = serializer.holds()
            assert abs(length - len(packet)) < 10
    assert waited or packet_ms > 40
