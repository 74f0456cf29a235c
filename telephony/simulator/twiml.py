"""Reads the TwiML a server answers with, as far as a phone needs it; relative URLs and unknown verbs are errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.etree import ElementTree

from telephony.simulator.errors import CallFailed


@dataclass(frozen=True, slots=True)
class Connect:
    """``<Connect action><Stream url><Parameter/>…``."""

    stream_url: str
    action_url: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Redirect:
    url: str


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Pause:
    length_s: int


@dataclass(frozen=True, slots=True)
class Hangup:
    pass


@dataclass(frozen=True, slots=True)
class OtherVerb:
    """A verb the simulated phone only takes note of (``<Dial>``, ``<Enqueue>``, ``<Start>`` …)."""

    name: str


Verb = Connect | Redirect | Say | Pause | Hangup | OtherVerb


def parse(document: bytes) -> tuple[Verb, ...]:
    """Return the verbs of a TwiML document, in order.

    Raises:
        CallFailed: it is not TwiML (Twilio's error 12100), or a URL in it can't be used (11100, 31920).
    """
    if b"<!DOCTYPE" in document[:1_000]:
        raise CallFailed("12100: the answer declares a document type, which TwiML never does.")
    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - without a DOCTYPE there are no entities to expand
    except ElementTree.ParseError as error:
        raise CallFailed(f"12100: the answer is not XML ({error}).") from None
    if root.tag != "Response":
        raise CallFailed(f"12100: the answer's root is <{root.tag}>, not <Response>.")
    return tuple(_verb(element) for element in root)


def _verb(element: ElementTree.Element) -> Verb:
    match element.tag:
        case "Connect":
            return _connect(element)
        case "Redirect":
            return Redirect(_absolute((element.text or "").strip(), "<Redirect>", ("https", "http")))
        case "Say":
            return Say("".join(element.itertext()).strip())
        case "Pause":
            return Pause(_seconds(element.get("length", "1")))
        case "Hangup":
            return Hangup()
        case "Dial" | "Enqueue" | "Start" | "Play" | "Gather" | "Record" | "Reject" | "Stop" | "Leave":
            return OtherVerb(element.tag)
    raise CallFailed(f"12200: <{element.tag}> is not a TwiML verb.")


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise CallFailed("12100: <Pause length> is not a whole number of seconds.")
    return int(text)


def _connect(element: ElementTree.Element) -> Connect:
    stream = element.find("Stream")
    if stream is None:
        raise CallFailed("12100: <Connect> holds no <Stream>.")
    url = _absolute(stream.get("url", ""), "<Stream url>", ("wss", "ws"))
    if urlsplit(url).query:
        raise CallFailed("31922: <Stream url> has a query string, which Twilio refuses; use <Parameter>.")
    parameters = {p.get("name", ""): p.get("value", "") for p in stream.findall("Parameter")}
    for name, value in parameters.items():
        if not name or len(name) + len(value) > 500:
            raise CallFailed("31921: a <Parameter> has no name or is longer than 500 characters.")
    action = element.get("action")
    return Connect(url, _absolute(action, "<Connect action>", ("https", "http")) if action else "", parameters)


def _absolute(url: str, where: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.netloc:
        raise CallFailed(f"11100: {where} is not an absolute {schemes[0]} URL.")
    return url
