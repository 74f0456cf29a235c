"""Messages that callers left at the carrier: removed there when their calls are erased."""

from agent.settings import Settings
from crm.erasure import RemoveMessage
from telephony.carrier import Carrier
from telephony.carriers.twilio.carrier import TwilioCarrier
from telephony.errors import CarrierUnavailable


def twilio(settings: Settings) -> TwilioCarrier:
    """Return the settings' carrier."""
    return TwilioCarrier(settings.origin, settings.auth_tokens, settings.twilio_account_sid, settings.twilio_api_url)


def remover(carrier: Carrier) -> RemoveMessage | None:
    """Return what removes a message, as ``crm.erasure.Erasures`` wants it; None where there are no credentials."""

    async def remove(address: str) -> str:
        try:
            await carrier.remove_message(address)
        except CarrierUnavailable as error:
            return str(error)
        return ""

    return remove if carrier.can_call else None
