"""Twilio as a carrier: what the routes ask of it, put together from this folder's parts."""

from collections.abc import Mapping, Sequence

from telephony.carrier import After, InboundCall, Instruction, NextAsked
from telephony.carriers.twilio import twiml, webhook
from telephony.carriers.twilio.media import TwilioMedia
from telephony.carriers.twilio.rest import TwilioRest
from telephony.media import MediaProtocol


class TwilioCarrier:
    """Twilio behind ``telephony.carrier.Carrier``."""

    name = "twilio"
    webhook_path = "/twilio/voice"
    action_path = "/twilio/action"
    media_path = "/twilio/media"
    hold_sound_path = "/twilio/ringing.wav"

    def __init__(self, public_url: str, auth_tokens: Sequence[str], account_sid: str = "", api_url: str = "") -> None:
        """``public_url`` is the origin Twilio calls, e.g. ``https://calls.example.com`` (``http://`` for tests).

        Without ``auth_tokens`` every request is refused; with more than one, each is good (rotation). With
        ``account_sid`` calls can be made, moved and hung up through Twilio's API at ``api_url`` (its own if empty).
        Raises ValueError if ``public_url`` is no origin.
        """
        self._origin = public_url.rstrip("/")
        self._addresses = twiml.Addresses(
            action=self._action_url,
            stream="ws" + self._origin.removeprefix("http") + self.media_path,
            hold_sound=self._origin + self.hold_sound_path,
        )
        self._signatures = webhook.SignatureCheck(self._origin, auth_tokens)
        self._rest = TwilioRest(account_sid, auth_tokens, api_url)

    def check_webhook(self, path: str, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
        self._signatures.webhook(path, form, headers)

    def check_socket(self, path: str, headers: Mapping[str, str]) -> None:
        self._signatures.socket(path, headers)

    def inbound_call(self, form: Mapping[str, str]) -> InboundCall:
        return webhook.inbound_call(form)

    def next_asked(self, form: Mapping[str, str], query: Mapping[str, str]) -> NextAsked:
        return webhook.next_asked(form, query)

    def render(self, instruction: Instruction) -> str:
        return twiml.render(instruction, self._addresses)

    @property
    def can_call(self) -> bool:
        return self._rest.has_credentials

    def media_protocol(self) -> MediaProtocol:
        return TwilioMedia()

    async def remove_message(self, address: str) -> bool:
        return await self._rest.remove_recording(address)

    async def hang_up(self, call_id: str) -> bool:
        return await self._rest.hang_up(call_id)

    async def redirect(self, call_id: str, *, part: int = 0) -> bool:
        return await self._rest.redirect(call_id, self._action_url("stream", part))

    async def call_human(self, to: str, from_number: str, *, about_call: str, part: int, timeout_s: int) -> str:
        return await self._rest.call(
            to,
            from_number,
            url=self._action_url("brief", part, call=about_call),
            status_url=self._action_url("leg", part, call=about_call),
            timeout_s=timeout_s,
        )

    def _action_url(self, after: After, part: int, **about: str) -> str:
        return f"{self._origin}{self.action_path}?{twiml.action_query(after, part, **about)}"
