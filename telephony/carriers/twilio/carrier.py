"""Twilio as a carrier: what the routes ask of it, put together from this folder's parts."""

from collections.abc import Mapping, Sequence

from telephony.carrier import InboundCall, Instruction, StreamEnded
from telephony.media import MediaProtocol


class TwilioCarrier:
    """Twilio behind ``telephony.carrier.Carrier``."""

    name = "twilio"
    webhook_path = "/twilio/voice"
    action_path = "/twilio/action"
    media_path = "/twilio/media"

    def __init__(self, public_url: str, auth_tokens: Sequence[str], account_sid: str = "") -> None:
        """``public_url`` is the origin Twilio calls, e.g. ``https://calls.example.com`` (``http://`` for tests).

        Without ``auth_tokens`` every request is refused; with more than one, each is good (rotation). With
        ``account_sid`` calls can be hung up through Twilio's API.
        """
        raise NotImplementedError

    def check_webhook(self, path: str, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
        raise NotImplementedError

    def check_socket(self, path: str, headers: Mapping[str, str]) -> None:
        raise NotImplementedError

    def inbound_call(self, form: Mapping[str, str]) -> InboundCall:
        raise NotImplementedError

    def stream_ended(self, form: Mapping[str, str]) -> StreamEnded:
        raise NotImplementedError

    def render(self, instruction: Instruction) -> str:
        raise NotImplementedError

    def media_protocol(self) -> MediaProtocol:
        raise NotImplementedError

    async def hang_up(self, call_id: str) -> bool:
        raise NotImplementedError
