"""A phone that dials: signed webhook, TwiML, media socket in real time, and what comes after it."""

from dataclasses import dataclass, field
from functools import cache
from ssl import SSLContext
from urllib.parse import urlsplit

import httpx

from telephony.simulator import twiml
from telephony.simulator.callers import Caller
from telephony.simulator.errors import CallFailed
from telephony.simulator.hearing import AgentEar
from telephony.simulator.result import CallResult, PhoneError, StreamResult, with_delays
from telephony.simulator.signing import ACCOUNT_SID, call_form, new_sid, signature, webhook_headers
from telephony.simulator.stream import StreamOffer, stream

WEBHOOK_PATH = "/twilio/voice"
_WEBHOOK_TIMEOUT_S = 15.0  # Twilio's
_MAX_DOCUMENTS = 20


class Phone:
    """A phone company with one server to call; many calls can be made at once in one event loop."""

    def __init__(self, url: str, auth_token: str, *, public_url: str = "", account_sid: str = ACCOUNT_SID) -> None:
        """``url`` is where the server is reached; ``public_url`` its public origin, if it has another.

        Requests are signed for the public origin and sent to ``url``, as a tunnel or load balancer would.

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

    async def call(
        self, caller: Caller, *, to_number: str, from_number: str = "+15550199", max_s: float = 600
    ) -> CallResult:
        """Dial, talk until somebody hangs up, return what happened.

        Raises:
            CallFailed: the server could not be reached, refused, or answered the first webhook with something unusable.
        """
        async with httpx.AsyncClient(verify=_tls(), timeout=_WEBHOOK_TIMEOUT_S, trust_env=False) as http:
            call = _PhoneCall(self, http, caller, from_number, to_number, max_s)
            await call.follow(await call.fetch(self._public_url + WEBHOOK_PATH, "ringing"))
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


@dataclass(slots=True)
class _PhoneCall:
    """One call: fetches documents and follows them until it is over."""

    phone: Phone
    http: httpx.AsyncClient
    caller: Caller
    from_number: str
    to_number: str
    max_s: float
    call_id: str = field(default_factory=lambda: new_sid("CA"))
    ear: AgentEar = field(default_factory=AgentEar)
    ended_by: str = "agent"
    steps: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    errors: list[PhoneError] = field(default_factory=list)
    streams: list[StreamResult] = field(default_factory=list)

    async def fetch(self, url: str, status: str) -> tuple[twiml.Verb, ...]:
        """POST a webhook and return the verbs it answers with; raises CallFailed."""
        form = self.phone.form(self.call_id, self.from_number, self.to_number, status)
        try:
            answer = await self.http.post(self.phone.reach(url), data=form, headers=self.phone.headers(url, form))
        except httpx.TimeoutException:
            raise CallFailed("11205: the server did not answer the webhook within 15 s.") from None
        except httpx.HTTPError as error:
            raise CallFailed(f"11205: the server could not be reached at {self.phone.reach(url)} ({error}).") from None
        if answer.status_code != 200:
            raise CallFailed(f"11200: the server answered HTTP {answer.status_code}: {answer.text[:200].strip()}")
        if "xml" not in answer.headers.get("content-type", ""):
            raise CallFailed("12300: the server's answer is not XML by its Content-Type.")
        return twiml.parse(answer.content)

    async def follow(self, verbs: tuple[twiml.Verb, ...]) -> None:
        """Do what the documents say until the call is over."""
        for _ in range(_MAX_DOCUMENTS):
            url = await self._next_document(verbs)
            if not url:
                return
            status = "completed" if self.ended_by == "caller" else "in-progress"
            try:
                verbs = await self.fetch(url, status)
            except CallFailed as error:
                self.errors.append(_as_error(error))
                return
            if status == "completed":
                return
        self.errors.append(PhoneError(0, f"the call was sent through more than {_MAX_DOCUMENTS} documents"))

    async def _next_document(self, verbs: tuple[twiml.Verb, ...]) -> str:
        """Follow one document; return the URL of the next, empty when the call is over."""
        for verb in verbs:
            self.steps.append(verb.name if isinstance(verb, twiml.OtherVerb) else type(verb).__name__)
            match verb:
                case twiml.Connect():
                    await self._stream(self.phone.offer(verb, self.call_id))
                    if verb.action_url or self.ended_by == "caller":
                        return verb.action_url
                case twiml.Redirect(url):
                    return url
                case twiml.Say(text):
                    self.sentences.append(text)
                case twiml.Hangup():
                    return ""
        return ""

    async def _stream(self, offer: StreamOffer) -> None:
        begin_ms = sum(one.duration_ms for one in self.streams)
        until_ms = self.max_s * 1000
        self.streams.append(await stream(offer, self.caller, self.ear, begin_ms=begin_ms, until_ms=until_ms))
        self.ended_by = self.streams[-1].ended_by

    def result(self) -> CallResult:
        errors = [*self.errors, *(error for one in self.streams for error in one.errors)]
        spurts = self.ear.spurts()
        return CallResult(
            call_id=self.call_id,
            ended_by=self.ended_by,
            steps=tuple(self.steps),
            sentences=tuple(self.sentences),
            errors=tuple(errors),
            lines=with_delays(self.caller.lines(), spurts),
            agent_spurts=spurts,
            streams=tuple(self.streams),
        )


def _as_error(error: CallFailed) -> PhoneError:
    code, _, text = str(error).partition(": ")
    return PhoneError(int(code), text) if code.isdigit() else PhoneError(0, str(error))


@cache
def _tls() -> SSLContext:
    return httpx.create_ssl_context()
