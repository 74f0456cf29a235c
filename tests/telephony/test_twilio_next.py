"""What comes next in a call, in Twilio's words: documents out, action requests in."""

from typing import get_args
from urllib.parse import parse_qsl

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.audio import g711
from telephony.audio.ringing import PAUSE_S, RING_S, ringing_wav
from telephony.carrier import (
    After,
    AskAgain,
    BriefHuman,
    ConnectStream,
    DialHuman,
    Enqueue,
    Hold,
    Instruction,
    JoinRoom,
    NextAsked,
    Result,
    TakeMessage,
)
from telephony.carriers.twilio import TwilioCarrier
from telephony.carriers.twilio.webhook import next_asked
from telephony.errors import BadWebhook
from telephony.simulator import Human, Pause, Phone, ScriptedCaller, twiml
from tests.telephony.line import TOKEN, Handler, form

ORIGIN = "https://calls.example.com"
ACTION = f"{ORIGIN}/twilio/action"
DOCUMENTS: list[tuple[Instruction, str]] = [
    (
        DialHuman("+15550111", "+15550199", 2, "One moment."),
        f'<Say>One moment.</Say><Dial action="{ACTION}?after=dial&amp;part=2" answerOnBridge="true" '
        'callerId="+15550199" method="POST" timeout="25"><Number>+15550111</Number></Dial>',
    ),
    (
        JoinRoom("parley-1"),
        f'<Dial action="{ACTION}?after=dial&amp;part=1" method="POST"><Conference beep="false" '
        'endConferenceOnExit="true" startConferenceOnEnter="false">parley-1</Conference></Dial>',
    ),
    (
        JoinRoom("parley-1", is_human=True),
        "<Say>Thank you. The caller is coming.</Say>"
        '<Dial><Conference beep="false" endConferenceOnExit="true" startConferenceOnEnter="true">parley-1'
        "</Conference></Dial>",
    ),
    (
        BriefHuman("About tea & cake.", "CA1"),
        f'<Gather action="{ACTION}?after=accept&amp;part=1&amp;call=CA1" numDigits="1" timeout="10">'
        "<Say>About tea &amp; cake. Press any key to take the call.</Say></Gather><Hangup />",
    ),
    (
        Enqueue("sales", 3),
        f'<Enqueue action="{ACTION}?after=queue&amp;part=3" method="POST">sales</Enqueue>',
    ),
    (
        Hold(),
        f'<Play>{ORIGIN}/twilio/ringing.wav</Play><Redirect method="POST">{ACTION}?after=wait&amp;part=1</Redirect>',
    ),
    (
        AskAgain(NextAsked("CA1", "AC1", "in-progress", "dial", 2, "busy", again=1), "One moment."),
        f"<Say>One moment.</Say><Play>{ORIGIN}/twilio/ringing.wav</Play>"
        f'<Redirect method="POST">{ACTION}?after=dial&amp;part=2&amp;result=busy&amp;again=2</Redirect>',
    ),
    (
        TakeMessage("Speak.", limit_s=60),
        f'<Say>Speak.</Say><Record action="{ACTION}?after=record&amp;part=1" maxLength="60" method="POST" '
        f'playBeep="true" recordingStatusCallback="{ACTION}?after=recorded&amp;part=1" '
        'recordingStatusCallbackMethod="POST" timeout="6" /><Say>Goodbye.</Say><Hangup />',
    ),
    (
        ConnectStream({"nonce": "n"}, 2, "Sorry."),
        f'<Say>Sorry.</Say><Connect action="{ACTION}?after=stream&amp;part=2" method="POST"><Stream '
        'url="wss://calls.example.com/twilio/media"><Parameter name="nonce" value="n" /></Stream></Connect>'
        f'<Redirect method="POST">{ACTION}?after=stream&amp;part=2</Redirect>',
    ),
]


@pytest.mark.parametrize(("instruction", "document"), DOCUMENTS, ids=lambda value: type(value).__name__)
def test_documents(instruction: Instruction, document: str) -> None:
    rendered = TwilioCarrier(ORIGIN, ["t"]).render(instruction)
    assert rendered.partition("?>")[2] == f"<Response>{document}</Response>"
    assert twiml.parse(rendered.encode())  # the simulated phone follows it


@pytest.mark.parametrize(
    ("query", "fields", "expected"),
    [
        ("", {}, NextAsked("CA1", "AC1", "in-progress")),
        ("after=stream&part=2", {}, NextAsked("CA1", "AC1", "in-progress", part=2)),
        (
            "after=dial&part=1",
            {"DialCallStatus": "no-answer"},
            NextAsked("CA1", "AC1", "in-progress", "dial", 1, "no-answer"),
        ),
        ("after=dial", {"DialCallStatus": "completed"}, NextAsked("CA1", "AC1", "in-progress", "dial", 0, "answered")),
        (
            "after=dial&part=1&result=busy&again=1",
            {},
            NextAsked("CA1", "AC1", "in-progress", "dial", 1, "busy", again=1),
        ),
        ("after=queue", {"QueueResult": "queue-full"}, NextAsked("CA1", "AC1", "in-progress", "queue", 0, "failed")),
        ("after=queue", {"QueueResult": "hangup"}, NextAsked("CA1", "AC1", "in-progress", "queue", 0, "canceled")),
        (
            "after=leg&part=1&call=CA2",
            {"CallStatus": "busy"},
            NextAsked("CA1", "AC1", "busy", "leg", 1, "busy", about_call="CA2"),
        ),
        (
            "after=record",
            {"RecordingUrl": "https://api.twilio.com/r"},
            NextAsked("CA1", "AC1", "in-progress", "record", recording_url="https://api.twilio.com/r"),
        ),
        ("after=record", {"RecordingUrl": "javascript:1"}, NextAsked("CA1", "AC1", "in-progress", "record")),
        ("after=dinner&part=-1", {}, NextAsked("CA1", "AC1", "in-progress")),
        ("part=99999999999", {}, NextAsked("CA1", "AC1", "in-progress")),
    ],
)
def test_action_requests(query: str, fields: dict[str, str], expected: NextAsked) -> None:
    given = {"CallSid": "CA1", "AccountSid": "AC1", "CallStatus": "in-progress"} | fields
    assert next_asked(given, dict(parse_qsl(query))) == expected


def test_a_leg_s_request_names_its_call_properly() -> None:
    with pytest.raises(BadWebhook, match="call"):
        next_asked(form(), {"after": "leg", "call": "CA1; --"})


@given(st.dictionaries(st.sampled_from(["after", "part", "result"]), st.text(max_size=20)), st.text(max_size=20))
def test_whatever_a_query_says_is_read(query: dict[str, str], status: str) -> None:
    asked = next_asked(form(DialCallStatus=status), query)
    assert asked.after in get_args(After)
    assert asked.result in get_args(Result)
    assert 0 <= asked.part < 1_000


def test_the_ringing_is_a_wav_of_rings_and_pauses() -> None:
    wav = ringing_wav()
    assert wav[:4] == b"RIFF"
    assert int.from_bytes(wav[4:8], "little") == len(wav) - 8
    pcm = g711.decode(wav[-int((RING_S + PAUSE_S) * 8_000) :])
    assert np.abs(pcm[: int(RING_S * 8_000)]).max() > 5_000
    assert not np.abs(pcm[int(RING_S * 8_000) + 1 :]).any()
    assert (wav[8:16], int.from_bytes(wav[20:22], "little")) == (
        b"WAVEfmt ",
        7,
    )  # µ-law, which is what the line carries


# Over real sockets


async def test_an_action_s_query_is_signed_and_read(serve) -> None:
    line = await serve()
    path = "/twilio/action?after=dial&part=3"
    answer = await line.post(path, form(DialCallStatus="busy"))
    assert answer.status_code == 200
    assert (line.handler.ended[0].after, line.handler.ended[0].part, line.handler.ended[0].result) == (
        "dial",
        3,
        "busy",
    )
    signed = line.phone.headers(line.url + path, form())
    assert (await line.post(path.replace("3", "4"), form(), signed)).status_code == 403


async def test_the_ringing_is_served(serve) -> None:
    line = await serve(Handler(answer_is=Hold(say="Please wait.")))

    async def then_connect(asked: NextAsked) -> Instruction:
        line.handler.ended.append(asked)
        return Hold() if len(line.handler.ended) < 3 else ConnectStream({"nonce": "n-1"})

    line.handler.what_next = then_connect
    phone = Phone(line.url, TOKEN, hold_speed=50)
    result = await phone.call(ScriptedCaller([Pause(20_000)], patience_ms=0), to_number="+15550100", max_s=12)
    assert result.steps == ("Say", "Play", "Redirect", "Play", "Redirect", "Play", "Redirect", "Connect")
    assert not result.errors
    assert {asked.after for asked in line.handler.ended} == {"wait", "stream"}
    assert result.streams[0].begin_ms == 3 * round((RING_S + PAUSE_S) * 1_000)


@pytest.mark.parametrize(
    ("human", "status", "result"),
    [
        (Human(after_s=0.5, talks_s=0.5), "completed", "answered"),
        (Human("busy", after_s=0.5), "busy", "busy"),
        (Human("failed", after_s=0.5), "failed", "failed"),
        (Human(after_s=40), "no-answer", "no-answer"),
    ],
)
async def test_the_phone_says_how_dialling_went(serve, human: Human, status: str, result: Result) -> None:
    line = await serve(Handler(answer_is=DialHuman("+15550111", "+15550199")))
    phone = Phone(line.url, TOKEN, human=human, hold_speed=100)
    called = await phone.call(ScriptedCaller([Pause(60_000)], patience_ms=0), to_number="+15550100")
    (leg,) = called.humans
    assert (leg.to, leg.caller_id, leg.status) == ("+15550111", "+15550199", status)
    assert [asked.result for asked in line.handler.ended] == [result]
