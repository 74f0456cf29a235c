"""The carrier's way in: two webhooks and the media socket, checked before anything of ours is touched.

POST webhook ─▶ signature ─▶ CallHandler.answer ─▶ instruction
WS media ─▶ signature (403 before the upgrade) ─▶ start ─▶ CallHandler.media
POST action ─▶ signature ─▶ CallHandler.after_stream ─▶ instruction
"""

from fastapi import APIRouter

from telephony.carrier import CallHandler, Carrier


def telephony_router(carrier: Carrier, handler: CallHandler, *, start_timeout_s: float) -> APIRouter:
    """Return the routes of one carrier; ``start_timeout_s`` is how long a socket may take to say which call it is."""
    raise NotImplementedError
