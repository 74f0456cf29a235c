"""A phone that dials: signed webhook, TwiML, media socket in real time, and what comes after it."""

from telephony.simulator.callers import Caller
from telephony.simulator.result import CallResult


class Phone:
    """One phone line to a server. Many phones can call at once in one event loop."""

    def __init__(self, url: str, auth_token: str, *, public_url: str = "", account_sid: str = "AC" + "0" * 32) -> None:
        """``url`` is where the server is reached, ``public_url`` what it is called in public (and signed) if different."""
        raise NotImplementedError

    async def call(
        self, caller: Caller, *, to_number: str, from_number: str = "+15550001", max_s: float = 600
    ) -> CallResult:
        """Dial, talk until somebody hangs up, return what happened.

        Raises:
            telephony.simulator.errors.CallFailed: the server could not be reached or answered with something unusable.
        """
        raise NotImplementedError
