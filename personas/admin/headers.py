"""What every answer of the console tells the browser: run and load nothing but our own files."""

import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIXED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
PERMISSIONS = "Permissions-Policy"


def permissions(*, microphone: bool = False) -> str:
    """Return the policy on what pages may ask of the user; ``microphone`` lets a page of ours ask for it."""
    return f"camera=(), geolocation=(), microphone=({'self' if microphone else ''})"


def content_security_policy(style_nonce: str) -> str:
    """Return the policy; the nonce is for the style sheet that wavesurfer keeps in its shadow tree."""
    return (
        "default-src 'none'; script-src 'self'; "
        f"style-src 'self' 'nonce-{style_nonce}'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        "media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


class SecurityHeaders:
    """Middleware that adds the headers and leaves ``style_nonce`` in the request's state."""

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self.app = app
        self.headers = FIXED | ({"Strict-Transport-Security": "max-age=31536000"} if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["style_nonce"] = nonce

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self.headers | {"Content-Security-Policy": content_security_policy(nonce)})
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault(PERMISSIONS, permissions())
            await send(message)

        await self.app(scope, receive, send_with_headers)
