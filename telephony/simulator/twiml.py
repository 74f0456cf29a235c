"""Reads the TwiML a server answers with, as far as a phone needs it; relative URLs and unknown verbs are errors."""

from collections.abc import Callable, Mapping
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
class Play:
    url: str


@dataclass(frozen=True, slots=True)
class Dial:
    """``<Dial><Number>`` or ``<Dial><Conference>``: exactly one of ``number`` and ``room`` is not empty.

    A room begins when somebody with ``starts_room`` enters, and is over when somebody with ``ends_room`` leaves.
    """

    action_url: str
    number: str = ""
    room: str = ""
    caller_id: str = ""
    timeout_s: int = 30
    starts_room: bool = True
    ends_room: bool = False


@dataclass(frozen=True, slots=True)
class Enqueue:
    queue: str
    action_url: str


@dataclass(frozen=True, slots=True)
class Record:
    action_url: str
    status_url: str
    max_s: int
    silence_s: int


@dataclass(frozen=True, slots=True)
class Gather:
    """``<Gather numDigits="1">``: asks for a key with ``text``."""

    action_url: str
    text: str


@dataclass(frozen=True, slots=True)
class OtherVerb:
    """A verb the simulated phone only takes note of (``<Start>``, ``<Reject>`` …)."""

    name: str


Verb = Connect | Redirect | Say | Pause | Hangup | Play | Dial | Enqueue | Record | Gather | OtherVerb


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
    reader = _READERS.get(element.tag)
    if reader:
        return reader(element)
    if element.tag in ("Start", "Reject", "Stop", "Leave"):
        return OtherVerb(element.tag)
    raise CallFailed(f"12200: <{element.tag}> is not a TwiML verb.")


def _dial(element: ElementTree.Element) -> Dial:
    number, conference = element.find("Number"), element.find("Conference")
    if (number is None) == (conference is None):
        raise CallFailed("12100: <Dial> holds neither or both of <Number> and <Conference>.")
    room = "" if conference is None else (conference.text or "").strip()
    flags = {} if conference is None else conference.attrib
    return Dial(
        action_url=_action(element),
        number="" if number is None else (number.text or "").strip(),
        room=room,
        caller_id=element.get("callerId", ""),
        timeout_s=_seconds(element.get("timeout", "30")),
        starts_room=flags.get("startConferenceOnEnter", "true") == "true",
        ends_room=flags.get("endConferenceOnExit", "false") == "true",
    )


def _record(element: ElementTree.Element) -> Record:
    status_url = element.get("recordingStatusCallback", "")
    return Record(
        action_url=_action(element),
        status_url=_absolute(status_url, "<Record recordingStatusCallback>", _HTTP) if status_url else "",
        max_s=_seconds(element.get("maxLength", "3600")),
        silence_s=_seconds(element.get("timeout", "5")),
    )


def _action(element: ElementTree.Element) -> str:
    action = element.get("action")
    return _absolute(action, f"<{element.tag} action>", _HTTP) if action else ""


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise CallFailed("12100: a number of seconds is not a whole number.")
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
    return Connect(url, _action(element), parameters)


def _absolute(url: str, where: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.netloc:
        raise CallFailed(f"11100: {where} is not an absolute {schemes[0]} URL.")
    return url


def _text(element: ElementTree.Element) -> str:
    return "".join(element.itertext()).strip()


_HTTP = ("https", "http")
_READERS: Mapping[str, Callable[[ElementTree.Element], Verb]] = {
    "Connect": _connect,
    "Redirect": lambda element: Redirect(_absolute(_text(element), "<Redirect>", _HTTP)),
    "Say": lambda element: Say(_text(element)),
    "Pause": lambda element: Pause(_seconds(element.get("length", "1"))),
    "Hangup": lambda _: Hangup(),
    "Play": lambda element: Play(_absolute(_text(element), "<Play>", _HTTP)),
    "Dial": _dial,
    "Enqueue": lambda element: Enqueue(_text(element), _action(element)),
    "Record": _record,
    "Gather": lambda element: Gather(_action(element), _text(element)),
}
