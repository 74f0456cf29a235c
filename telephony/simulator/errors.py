"""Why a simulated call could not be made."""

from telephony.errors import TelephonyError


class CallFailed(TelephonyError):
    """The call could not be made: the server is not there, refused, or answered with something unusable."""


class BadScript(TelephonyError):
    """A caller's script or recording can't be used; the message names the place and the remedy."""
