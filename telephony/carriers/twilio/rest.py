"""What Parley asks of Twilio's REST API: end a call."""

import asyncio
from collections.abc import Sequence

from telephony.errors import CarrierUnavailable

_TIMEOUT_S = 5.0


async def hang_up(account_sid: str, auth_tokens: Sequence[str], call_sid: str) -> bool:
    """End a live call; False if it was gone already or credentials are missing.

    Raises:
        CarrierUnavailable: Twilio could not be reached or refused.
    """
    if not (account_sid and auth_tokens):
        return False
    return await asyncio.to_thread(_complete, account_sid, tuple(auth_tokens), call_sid)


def _complete(account_sid: str, auth_tokens: tuple[str, ...], call_sid: str) -> bool:
    from twilio.base.exceptions import TwilioException, TwilioRestException  # the client takes a second to import
    from twilio.http.http_client import TwilioHttpClient
    from twilio.rest import Client

    for token in auth_tokens:
        client = Client(account_sid, token, http_client=TwilioHttpClient(timeout=_TIMEOUT_S))
        try:
            client.calls(call_sid).update(status="completed")
        except TwilioRestException as error:
            if error.status == 404:
                return False
            if error.status != 401:
                raise CarrierUnavailable(f"Twilio refused to end the call (HTTP {error.status}).") from None
        except (TwilioException, OSError) as error:  # requests' errors are OSErrors
            raise CarrierUnavailable(f"Twilio could not be reached ({type(error).__name__}).") from None
        else:
            return True
    raise CarrierUnavailable("Twilio refused the account SID and auth token (HTTP 401); check both settings.")
