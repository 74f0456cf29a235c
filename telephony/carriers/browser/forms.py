"""What a page is told to do, as XML, and what its signed forms say.

Each form names the call, the user who makes it, and what is called: ``To`` is whatever whoever dials has put there.
"""

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

from telephony.carrier import ConnectStream, InboundCall, Instruction, NextAsked
from telephony.errors import BadWebhook

_LONGEST = 128


def inbound_call(form: Mapping[str, str]) -> InboundCall:
    """Read the form that begins a call; raises BadWebhook. There is no caller's number."""
    return InboundCall("browser", _field(form, "CallId"), _field(form, "Account"), "", _field(form, "To"))


def next_asked(form: Mapping[str, str]) -> NextAsked:
    """Read the form that asks what comes after the stream; raises BadWebhook."""
    return NextAsked(_field(form, "CallId"), _field(form, "Account"), "in-progress")


def render(instruction: Instruction) -> str:
    """Return an instruction for the page: ``<Say>``, then ``<Stream>`` with its parameters or ``<Hangup/>``.

    A browser is joined to nobody: any other instruction is what it says, and the call's end.
    """
    response = Element("Response")
    if said := getattr(instruction, "text", "") or getattr(instruction, "say", ""):
        SubElement(response, "Say").text = "".join(each for each in said if each.isprintable())
    if isinstance(instruction, ConnectStream):
        stream = SubElement(response, "Stream")
        for name, value in instruction.parameters.items():
            SubElement(stream, "Parameter", name=name, value=value)
    else:
        SubElement(response, "Hangup")
    return tostring(response, "unicode")


def _field(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise BadWebhook(f"The form lacks {name}; is it one that this server signed?")
    if len(value) > _LONGEST or not value.isprintable():
        raise BadWebhook(f"The form's {name} is not a short text.")
    return value
