"""Twilio's signatures in every way it writes a URL, and the TwiML it gets."""

import pytest
from starlette.datastructures import ImmutableMultiDict

from telephony.carrier import ConnectStream, HangUp, SayAndHangUp
from telephony.carriers.twilio import TwilioCarrier
from telephony.carriers.twilio.webhook import inbound_call
from telephony.errors import BadSignature, BadWebhook
from telephony.simulator.signing import signature
from tests.telephony.line import form

ORIGIN = "https://calls.example.com"
PATH = "/twilio/voice"


@pytest.mark.parametrize("token", ["new", "old"])
@pytest.mark.parametrize("port", ["", ":443"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_webhook_urls_are_recognised(token, port, slash):
    carrier = TwilioCarrier(ORIGIN, ["new", "old"])
    headers = {"x-twilio-signature": signature(token, f"{ORIGIN}{port}{PATH}{slash}", form())}
    carrier.check_webhook(PATH, form(), headers)


@pytest.mark.parametrize("scheme", ["wss", "https"])
@pytest.mark.parametrize("port", ["", ":443"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_socket_urls_are_recognised(scheme, port, slash):
    url = f"{scheme}://calls.example.com{port}/twilio/media{slash}"
    TwilioCarrier(ORIGIN, ["new"]).check_socket("/twilio/media", {"x-twilio-signature": signature("new", url)})


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_test_origin_keeps_its_port(scheme):
    headers = {"x-twilio-signature": signature("t", f"{scheme}://127.0.0.1:8080/twilio/media")}
    TwilioCarrier("http://127.0.0.1:8080", ["t"]).check_socket("/twilio/media", headers)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/twilio/voice",
        "http://calls.example.com/twilio/voice",
        "https://calls.example.com:8443/twilio/voice",
        "https://calls.example.com/twilio/voice?x=1",
    ],
)
def test_other_urls_are_not(url):
    headers = {"x-twilio-signature": signature("new", url, form())}
    with pytest.raises(BadSignature, match="PARLEY_PUBLIC_URL"):
        TwilioCarrier(ORIGIN, ["new"]).check_webhook(PATH, form(), headers)


def test_a_query_and_repeated_fields_are_signed_too():
    carrier = TwilioCarrier(ORIGIN, ["new"])
    fields = ImmutableMultiDict([("CallSid", "CA1"), ("Tag", "b"), ("Tag", "a")])
    # The documented string: the URL, then names and values sorted, repeated values each.
    import base64
    import hashlib
    import hmac

    text = f"{ORIGIN}{PATH}?bot=1CallSidCA1TagaTagb"
    made = base64.b64encode(hmac.new(b"new", text.encode(), hashlib.sha1).digest()).decode()
    carrier.check_webhook(f"{PATH}?bot=1", fields, {"x-twilio-signature": made})


@pytest.mark.parametrize("origin", ["", "calls.example.com", "ftp://calls.example.com", "https://"])
def test_an_origin_that_is_none_is_refused_at_once(origin):
    with pytest.raises(ValueError, match="origin"):
        TwilioCarrier(origin, ["t"])


def test_the_answer_leaves_no_dead_air():
    carrier = TwilioCarrier(ORIGIN, ["t"])
    assert carrier.render(ConnectStream({"nonce": "n1"})).endswith(
        '<Response><Connect action="https://calls.example.com/twilio/action?after=stream&amp;part=1" method="POST">'
        '<Stream url="wss://calls.example.com/twilio/media"><Parameter name="nonce" value="n1" /></Stream></Connect>'
        '<Redirect method="POST">https://calls.example.com/twilio/action?after=stream&amp;part=1</Redirect></Response>'
    )
    assert carrier.render(SayAndHangUp("Bye.")).endswith("<Response><Say>Bye.</Say><Hangup /></Response>")
    assert carrier.render(HangUp()).endswith("<Response><Hangup /></Response>")


@pytest.mark.parametrize(
    "number", ["", "Anonymous", "+266696687", "+7378742833", "+8656696", "+86282452253", "+2562533"]
)
def test_withheld_numbers_are_empty(number: str):
    assert inbound_call(form(From=number)).from_number == ""


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"CallSid": ""}, "CallSid"), ({"CallSid": "CA1; --"}, "CallSid"), ({"To": ""}, "To"), ({"To": "1" * 300}, "To")],
)
def test_forms_that_cannot_be_used_name_the_field(changes, field):
    with pytest.raises(BadWebhook, match=field):
        inbound_call(form(**changes))
