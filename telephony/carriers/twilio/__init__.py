"""Twilio: signed webhooks, TwiML and Media Streams."""

from telephony.carriers.twilio.carrier import TwilioCarrier

__all__ = ["TwilioCarrier"]
