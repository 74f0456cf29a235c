"""What can go wrong on the telephone side; every message is one sentence without numbers or payloads."""


class TelephonyError(Exception):
    """Base of this package's errors."""


class BadSignature(TelephonyError):
    """A request that the carrier did not sign."""


class BadWebhook(TelephonyError):
    """A signed request whose form can't be used."""


class BadStream(TelephonyError):
    """A media socket that may not carry a call: no start in time, wrong call, used or unknown nonce."""


class CarrierUnavailable(TelephonyError):
    """The carrier's API could not be reached or refused."""


class CarrierSilent(CarrierUnavailable):
    """The carrier's API was asked and did not answer: it may have done what was asked."""
