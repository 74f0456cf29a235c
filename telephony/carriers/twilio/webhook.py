"""Whether Twilio made a request, and what its webhook forms say.

Twilio signs the public URL it was told to call, with all form fields, by HMAC-SHA1 under the account's auth token
(https://www.twilio.com/docs/usage/security). The URL is built from our configured origin, never from what the request
says of itself; Twilio is not consistent about default ports, wss against https, and a slash at the end.
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args
from urllib.parse import urlsplit

from twilio.request_validator import RequestValidator

from telephony.carrier import After, InboundCall, NextAsked, Result
from telephony.errors import BadSignature, BadWebhook

SIGNATURE_HEADER = "x-twilio-signature"
_SOCKET_SCHEMES = {"https": ("wss", "https"), "http": ("ws", "http")}
_WITHHELD_WORDS = ("anonymous", "unavailable", "restricted", "unknown", "blocked")
_KEYS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
# Also spelled on a telephone's keys: +266696687 is ANONYMOUS, and would pass for one person who calls very often.
_WITHHELD = frozenset(_WITHHELD_WORDS) | {f"+{word.translate(_KEYS)}" for word in _WITHHELD_WORDS}
_DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


class SignatureCheck:
    """Checks signatures under any of several auth tokens, over every way Twilio writes our URLs."""

    def __init__(self, public_url: str, auth_tokens: Sequence[str]) -> None:
        origin = urlsplit(public_url)
        if origin.scheme not in _SOCKET_SCHEMES or not origin.hostname:
            raise ValueError("the public URL must be an origin such as https://calls.example.com")
        self._scheme = origin.scheme
        self._netloc = origin.netloc
        self._host = origin.netloc.removesuffix(f":{origin.port}") if origin.port else origin.netloc
        self._validators = [RequestValidator(token) for token in auth_tokens]

    def webhook(self, path: str, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Check a form POST to ``path`` (with its query, if any); raises BadSignature."""
        self._check((self._scheme,), path, form, headers)

    def socket(self, path: str, headers: Mapping[str, str]) -> None:
        """Check a media socket's upgrade request; raises BadSignature."""
        self._check(_SOCKET_SCHEMES[self._scheme], path, {}, headers)

    def _check(self, schemes: Sequence[str], path: str, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
        if not self._validators:
            raise BadSignature(
                "No Twilio auth token is set, so every request is refused; set PARLEY_TWILIO_AUTH_TOKEN."
            )
        given = headers.get(SIGNATURE_HEADER, "").encode()
        if not given:
            raise BadSignature("The request carries no X-Twilio-Signature.")
        good = False
        for url in self._urls(schemes, path):
            for validator in self._validators:
                # No early exit: how long this takes says nothing about which URL or token came close.
                good |= hmac.compare_digest(validator.compute_signature(url, form).encode(), given)
        if not good:
            raise BadSignature(
                "The signature does not match: check that the auth token is this account's "
                "and that PARLEY_PUBLIC_URL is the origin Twilio calls."
            )

    def _urls(self, schemes: Sequence[str], path: str) -> Iterator[str]:
        bare, _, query = path.partition("?")
        query = f"?{query}" if query else ""
        bare = bare.rstrip("/")
        for scheme in schemes:
            for netloc in {self._netloc, self._host, f"{self._host}:{_DEFAULT_PORTS[scheme]}"}:
                yield f"{scheme}://{netloc}{bare}{query}"
                yield f"{scheme}://{netloc}{bare}/{query}"


def inbound_call(form: Mapping[str, str]) -> InboundCall:
    """Read the form of an incoming call; raises BadWebhook."""
    return InboundCall(
        carrier="twilio",
        call_id=_sid(form, "CallSid"),
        account_id=_sid(form, "AccountSid"),
        from_number=_number(form, "From"),
        to_number=_number(form, "To", required=True),
    )


_AFTER: Mapping[str, After] = {name: name for name in get_args(After)}
_RESULT_FIELDS = ("DialCallStatus", "QueueResult")
_RESULTS: Mapping[str, Result] = {
    "completed": "answered",
    "answered": "answered",
    "bridged": "answered",
    "redirected-from-bridged": "answered",
    "busy": "busy",
    "no-answer": "no-answer",
    "canceled": "canceled",
    "hangup": "canceled",
}
"""DialCallStatus, QueueResult and the CallStatus of a human's own call; any other means that it failed."""


def next_asked(form: Mapping[str, str], query: Mapping[str, str]) -> NextAsked:
    """Read the form of an action request, and what its URL says it is about; raises BadWebhook."""
    status = form.get("CallStatus", "")[:32]
    after = _AFTER.get(query.get("after", ""), "stream")
    result = next((form[name] for name in _RESULT_FIELDS if name in form), query.get("result", ""))
    if after == "leg":
        result = status
    recording_url = form.get("RecordingUrl", "")
    return NextAsked(
        call_id=_sid(form, "CallSid"),
        account_id=_sid(form, "AccountSid"),
        call_status=status,
        after=after,
        part=_count(query, "part"),
        result=_RESULTS.get(result, "failed") if result else "",
        recording_url=recording_url if _is_url(recording_url) else "",
        about_call=_sid(query, "call") if "call" in query else "",
        again=_count(query, "again"),
    )


def _count(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://")) and len(text) <= 500 and text.isascii() and text.isprintable()


def _sid(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise BadWebhook(f"The webhook lacks {name}; is it Twilio's voice webhook?")
    if len(value) > 64 or not (value.isascii() and value.isalnum()):
        raise BadWebhook(f"The webhook's {name} is not an identifier of Twilio's.")
    return value


def _number(form: Mapping[str, str], name: str, *, required: bool = False) -> str:
    """E.164, a SIP address or a client name; of callers who withheld their number, nothing."""
    value = form.get(name, "").strip()
    if required and not value:
        raise BadWebhook(f"The webhook lacks {name}; is it Twilio's voice webhook?")
    if len(value) > 256 or not value.isprintable():
        raise BadWebhook(f"The webhook's {name} is not a telephone number.")
    return "" if value.lower() in _WITHHELD else value
