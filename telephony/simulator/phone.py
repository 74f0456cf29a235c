"""A phone that dials: signed requests to one server."""

from functools import cache
from ssl import SSLContext
from urllib.parse import urlsplit

import httpx

from telephony.simulator import twiml
from telephony.simulator.callers import Caller
from telephony.simulator.company import PhoneCompany
from telephony.simulator.errors import CallFailed
from telephony.simulator.humans import Human
from telephony.simulator.phone_call import WEBHOOK_TIMEOUT_S, PhoneCall
from telephony.simulator.result import CallResult
from telephony.simulator.signing import ACCOUNT_SID, call_form, new_sid, signature, webhook_headers
from telephony.simulator.stream import StreamOffer

WEBHOOK_PATH = "/twilio/voice"


class Phone:
    """A phone company with one server to call; many calls can be made at once in one event loop."""

    def __init__(
        self,
        url: str,
        auth_token: str,
        *,
        public_url: str = "",
        account_sid: str = ACCOUNT_SID,
        human: Human | None = None,
        company: PhoneCompany | None = None,
        hold_speed: float = 1.0,
        status_url: str = "",
    ) -> None:
        """``url`` is where the server is reached; ``public_url`` its public origin, if it has another.

        ``human`` is whom calls are handed to; ``company`` the API that moves and makes calls, where there is one;
        pauses and ringing between streams pass ``hold_speed`` times faster; ``status_url`` hears of a call that is
        over, as the number may be set to. Requests are signed for the public origin and sent to ``url``, as a tunnel
        or load balancer would.

        Raises:
            CallFailed: ``url`` is not an http:// or https:// origin.
        """
        for origin in (url, public_url or url):
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise CallFailed("The server's URL must be like http://127.0.0.1:8080.")
        self._url = url.rstrip("/")
        self._public_url = (public_url or url).rstrip("/")
        self._auth_token = auth_token
        self._account_sid = account_sid
        self.human = human or Human()
        self.company = company or PhoneCompany(auth_token)
        self.hold_speed = hold_speed
        self._status_url = status_url

    async def call(
        self, caller: Caller, *, to_number: str, from_number: str = "+15550199", max_s: float = 600
    ) -> CallResult:
        """Dial, talk until somebody hangs up, return what happened.

        Raises:
            CallFailed: the server could not be reached, refused, or answered the first webhook with something unusable.
        """
        async with httpx.AsyncClient(verify=_tls(), timeout=WEBHOOK_TIMEOUT_S, trust_env=False) as http:
            call = PhoneCall(self, http, caller, from_number, to_number, max_s)
            with self.company.carrying(call):
                await call.follow(await call.fetch(self._public_url + WEBHOOK_PATH, "ringing"))
                if self._status_url:
                    await call.fetch(self._status_url, "completed")
        return call.result()

    def sign(self, url: str, form: dict[str, str] | None = None) -> str:
        """Return the signature of a request to a public URL."""
        return signature(self._auth_token, url, form)

    def headers(self, url: str, form: dict[str, str]) -> dict[str, str]:
        """Return the headers of a new webhook request."""
        return webhook_headers(self._auth_token, url, form, new_sid(""))

    def reach(self, url: str) -> str:
        """Return where a public URL (http or ws) is really reached."""
        for scheme in ("http", "ws"):
            public = scheme + self._public_url.removeprefix("http")
            if url.startswith(public):
                return scheme + self._url.removeprefix("http") + url.removeprefix(public)
        return url

    def form(self, call_id: str, from_number: str, to_number: str, status: str) -> dict[str, str]:
        """Return the fields of a webhook."""
        return call_form(call_id, self._account_sid, from_number, to_number, status)

    def offer(self, connect: twiml.Connect, call_id: str) -> StreamOffer:
        """Return the stream that ``<Connect>`` asks for, signed."""
        signed = {"x-twilio-signature": self.sign(connect.stream_url)}
        return StreamOffer(self.reach(connect.stream_url), signed, call_id, self._account_sid, connect.parameters)


@cache
def _tls() -> SSLContext:
    return httpx.create_ssl_context()
