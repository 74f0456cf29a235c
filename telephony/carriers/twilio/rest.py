"""What Parley asks of Twilio's REST API: end a call, take it to another document, call a human, remove a message.

Three requests of one resource (https://www.twilio.com/docs/voice/api/call-resource) and one of another
(https://www.twilio.com/docs/voice/api/recording), made without blocking: Twilio's own client would take a thread each.
"""

import re
from collections.abc import Mapping, Sequence

import httpx

from telephony.errors import CarrierSilent, CarrierUnavailable

API_URL = "https://api.twilio.com"
_TIMEOUT_S = 5.0
_RECORDING = re.compile(r"/(RE[0-9a-fA-F]{32})(?:\.\w+)?$")
_SILENT = "Twilio did not say whether it did what was asked of a call"


class TwilioRest:
    """One account's calls. ``api_url`` is the API's origin: regions have their own, with their own auth tokens."""

    def __init__(self, account_sid: str, auth_tokens: Sequence[str], api_url: str = "") -> None:
        self._account_sid = account_sid
        self._auth_tokens = tuple(auth_tokens)
        account_url = f"{api_url or API_URL}/2010-04-01/Accounts/{account_sid}"
        self._calls_url, self._recordings_url = f"{account_url}/Calls", f"{account_url}/Recordings"

    @property
    def has_credentials(self) -> bool:
        return bool(self._account_sid and self._auth_tokens)

    async def hang_up(self, call_sid: str) -> bool:
        """End a call, ringing or live; False if it was gone already or credentials are missing.

        Raises:
            CarrierUnavailable: Twilio could not be reached or refused.
            CarrierSilent: it did not answer, and may have done it: its API does not tell one redirect from another.
        """
        return await self._update(call_sid, {"Status": "completed"})

    async def redirect(self, call_sid: str, url: str) -> bool:
        """Make Twilio ask ``url`` what a live call does next; returns and raises like ``hang_up``."""
        return await self._update(call_sid, {"Url": url, "Method": "POST"})

    async def call(self, to_number: str, from_number: str, *, url: str, status_url: str, timeout_s: int) -> str:
        """Call somebody; return the new call's SID. ``url`` says what happens when it is answered, ``status_url``
        hears how it ended, and it rings for ``timeout_s``.

        Raises:
            CarrierUnavailable: Twilio could not be reached or refused, or credentials are missing.
        """
        if not self.has_credentials:
            raise CarrierUnavailable("Calls are made with PARLEY_TWILIO_ACCOUNT_SID and PARLEY_TWILIO_AUTH_TOKEN.")
        form = {"To": to_number, "From": from_number, "Url": url, "Method": "POST", "Timeout": str(timeout_s)}
        form |= {"StatusCallback": status_url, "StatusCallbackMethod": "POST", "StatusCallbackEvent": "completed"}
        answer = await self._ask("POST", f"{self._calls_url}.json", form)
        try:
            return str(answer.json()["sid"])
        except (ValueError, KeyError, TypeError):
            raise CarrierUnavailable(f"Twilio did not make the call (HTTP {answer.status_code}).") from None

    async def remove_recording(self, address: str) -> bool:
        """Remove what Twilio recorded, by its address; returns and raises like ``hang_up``.

        Only the recording's id is taken from the address: credentials go to the API and nowhere else.
        """
        recording = _RECORDING.search(address)
        if not self.has_credentials or not recording:
            return False
        url = f"{self._recordings_url}/{recording[1]}.json"
        return (await self._ask("DELETE", url, gone=(404,))).status_code != 404

    async def _update(self, call_sid: str, form: Mapping[str, str]) -> bool:
        if not self.has_credentials:
            return False
        answer = await self._ask("POST", f"{self._calls_url}/{call_sid}.json", form, gone=(404,))
        return answer.status_code != 404

    async def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None, gone: Sequence[int] = ()
    ) -> httpx.Response:
        """Make a request under each auth token until one is taken."""
        answer = None
        for token in self._auth_tokens:
            try:
                async with httpx.AsyncClient(timeout=_TIMEOUT_S, auth=(self._account_sid, token)) as http:
                    answer = await http.request(method, url, data=dict(form) if form else None)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise CarrierUnavailable(f"Twilio could not be reached ({type(error).__name__}).") from None
            except httpx.HTTPError as error:
                raise CarrierSilent(f"{_SILENT} ({type(error).__name__}).") from None
            if answer.status_code != 401:
                break
        if answer is None or answer.status_code == 401:
            raise CarrierUnavailable("Twilio refused the account SID and auth token (HTTP 401); check both settings.")
        if answer.status_code >= 500:
            raise CarrierSilent(f"{_SILENT} (HTTP {answer.status_code}).")
        if answer.status_code >= 300 and answer.status_code not in gone:
            raise CarrierUnavailable(f"Twilio refused what was asked of a call (HTTP {answer.status_code}).")
        return answer
