"""Requests as Twilio makes them: forms, headers, signatures."""

import secrets
from collections.abc import Mapping

from twilio.request_validator import RequestValidator

ACCOUNT_SID = "AC" + "0" * 32


def new_sid(prefix: str) -> str:
    """Return an identifier like Twilio's: ``CA…`` for calls, ``MZ…`` for streams."""
    return prefix + secrets.token_hex(16)


def signature(auth_token: str, url: str, form: Mapping[str, str] | None = None) -> str:
    """Return X-Twilio-Signature of a form POST, or of an upgrade request where ``form`` is None."""
    return RequestValidator(auth_token).compute_signature(url, dict(form or {}))


def webhook_headers(auth_token: str, url: str, form: Mapping[str, str], idempotency_token: str) -> dict[str, str]:
    """Return the headers of a webhook request; a repeated request carries the same ``idempotency_token``."""
    return {
        "X-Twilio-Signature": signature(auth_token, url, form),
        "I-Twilio-Idempotency-Token": idempotency_token,
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
    }


def call_form(call_sid: str, account_sid: str, from_number: str, to_number: str, status: str) -> dict[str, str]:
    """Return the fields of a voice webhook. ``status`` is "ringing", "in-progress" or "completed"."""
    form = {
        "AccountSid": account_sid,
        "ApiVersion": "2010-04-01",
        "CallSid": call_sid,
        "CallStatus": status,
        "Direction": "inbound",
        "StirVerstat": "TN-Validation-Passed-A",
    }
    for side, names in ((from_number, ("From", "Caller")), (to_number, ("To", "Called"))):
        for name in names:
            form |= {name: side, f"{name}City": "", f"{name}State": "", f"{name}Zip": "", f"{name}Country": "US"}
    return form
