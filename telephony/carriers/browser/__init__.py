"""A browser as a telephone: signed forms, instructions for a page, and a media socket that a page speaks."""

from telephony.carriers.browser.carrier import BrowserCarrier

__all__ = ["BrowserCarrier"]
