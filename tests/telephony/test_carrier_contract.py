"""What every carrier must keep; carriers are found by themselves, a package each in telephony/carriers.

A carrier's test drives it through ``CASES[name]``: a new carrier adds how its requests are signed and worded.
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import get_args
from xml.etree import ElementTree

import pytest

from telephony import carriers
from telephony.carrier import (
    AskAgain,
    BriefHuman,
    Carrier,
    ConnectStream,
    DialHuman,
    Enqueue,
    HangUp,
    Hold,
    Instruction,
    JoinRoom,
    NextAsked,
    SayAndHangUp,
    TakeMessage,
)
from telephony.carriers.browser import BrowserCarrier
from telephony.carriers.twilio import TwilioCarrier
from telephony.errors import BadSignature, BadWebhook, CarrierUnavailable
from telephony.media import MessageIgnored
from telephony.simulator.signing import call_form, signature

ORIGIN = "https://calls.example.com"


@dataclass(frozen=True)
class Case:
    """One carrier under test: itself, and requests as its network makes them."""

    carrier: Carrier
    deaf: Carrier  # the same without credentials
    form: Mapping[str, str]
    call_id: str
    numbers: tuple[str, str]
    webhook_headers: Mapping[str, str]
    socket: tuple[str, Mapping[str, str]]  # path and headers


CALL_ID = "CA" + "1" * 32


def twilio() -> Case:
    form = call_form(CALL_ID, "AC" + "2" * 32, "+15550001", "+15550100", "ringing")
    carrier = TwilioCarrier(ORIGIN, ["token"])
    return Case(
        carrier,
        TwilioCarrier(ORIGIN, []),
        form,
        CALL_ID,
        ("+15550001", "+15550100"),
        {"x-twilio-signature": signature("token", ORIGIN + carrier.webhook_path, form)},
        (carrier.media_path, {"x-twilio-signature": signature("token", "wss" + ORIGIN[5:] + carrier.media_path)}),
    )


def browser() -> Case:
    carrier = BrowserCarrier(ORIGIN, b"key")
    dialled = carrier.dial("version 7", "ann")
    page = {"origin": ORIGIN, "host": ORIGIN.removeprefix("https://")}
    return Case(
        carrier,
        BrowserCarrier(ORIGIN, b""),
        dialled.begin.form,
        dialled.call_id,
        ("", "version 7"),
        page | {dialled.header: dialled.begin.signature},
        (dialled.media, page),
    )


CASES: dict[str, Callable[[], Case]] = {"twilio": twilio, "browser": browser}


@pytest.fixture(params=sorted(module.name for module in pkgutil.iter_modules(carriers.__path__)))
def case(request) -> Case:
    import_module(f"telephony.carriers.{request.param}")
    assert request.param in CASES, f"say in CASES how {request.param}'s requests are made"
    made = CASES[request.param]()
    assert made.carrier.name == request.param
    return made


def test_paths_are_its_own(case):
    paths = [case.carrier.webhook_path, case.carrier.action_path, case.carrier.media_path]
    assert len(set(paths)) == 3
    assert all(path.startswith(f"/{case.carrier.name}/") for path in paths)


def test_a_signed_webhook_is_read(case):
    path = case.carrier.webhook_path
    case.carrier.check_webhook(path, case.form, case.webhook_headers)
    call = case.carrier.inbound_call(case.form)
    assert (call.carrier, call.call_id) == (case.carrier.name, case.call_id)
    assert (call.from_number, call.to_number) == case.numbers
    assert case.carrier.next_asked(case.form, {}).call_id == case.call_id


def test_nothing_unsigned_passes(case):
    path = case.carrier.webhook_path
    for headers in (
        {},
        {name: "" for name in case.webhook_headers},
        {n: "né" for n in case.webhook_headers},
    ):
        with pytest.raises(BadSignature):
            case.carrier.check_webhook(path, case.form, headers)
        with pytest.raises(BadSignature):
            case.carrier.check_socket(case.carrier.media_path, headers)
        with pytest.raises(BadSignature):
            case.carrier.check_socket(case.carrier.media_path + "?n=1", headers)


def test_a_signature_is_for_one_form_and_one_path(case):
    path = case.carrier.webhook_path
    with pytest.raises(BadSignature):
        case.carrier.check_webhook(path, {**case.form, "more": "1"}, case.webhook_headers)
    with pytest.raises(BadSignature):
        case.carrier.check_webhook(case.carrier.action_path, case.form, case.webhook_headers)


def test_without_credentials_everything_is_refused_and_nothing_hung_up(case):
    path = case.carrier.webhook_path
    with pytest.raises(BadSignature, match="is set"):
        case.deaf.check_webhook(path, case.form, case.webhook_headers)
    with pytest.raises(BadSignature, match="is set"):
        case.deaf.check_socket(*case.socket)


async def test_hanging_up_without_credentials_does_nothing(case):
    assert case.deaf.can_call is False
    assert await case.deaf.hang_up(case.call_id) is False
    assert await case.deaf.redirect(case.call_id) is False
    assert await case.deaf.remove_message("https://api.example/Recordings/RE1") is False
    with pytest.raises(CarrierUnavailable):
        await case.deaf.call_human("+15550111", "+15550100", about_call=case.call_id, part=1, timeout_s=5)


def test_a_signed_socket_passes(case):
    case.carrier.check_socket(*case.socket)


def test_a_form_without_its_call_is_refused_by_name(case):
    with pytest.raises(BadWebhook, match="lacks"):
        case.carrier.inbound_call({})
    with pytest.raises(BadWebhook, match="lacks"):
        case.carrier.next_asked({}, {})


def test_every_instruction_is_well_formed_and_escaped(case):
    odd = 'a"<&'
    made = [
        ConnectStream({"nonce": odd}, say=odd),
        SayAndHangUp("Bye <now> & ever"),
        HangUp(),
        DialHuman("+15550111", odd, say=odd),
        JoinRoom(odd),
        BriefHuman(odd, "CA1"),
        Enqueue(odd, say=odd),
        Hold(say=odd),
        AskAgain(NextAsked("CA1", "AC1", "in-progress"), say=odd),
        TakeMessage(odd),
    ]
    assert {type(instruction) for instruction in made} == set(get_args(Instruction))
    for instruction in made:
        ElementTree.fromstring(case.carrier.render(instruction))


def test_each_socket_has_its_own_protocol_that_never_raises(case):
    one, two = case.carrier.media_protocol(), case.carrier.media_protocol()
    assert one is not two
    for message in (b"", "", "[]", "{}", "\x00"):
        assert isinstance(one.receive(message), MessageIgnored)
    with pytest.raises(RuntimeError):
        one.audio(b"\xff" * 160)
