"""Signing in through a provider of OpenID Connect: the authorization code flow with PKCE, by Authlib.

GET /login/sso ──▶ the provider ──code──▶ /login/sso/callback ──claims──▶ role ──▶ user ──▶ session
                                                │
                                                └ what went wrong, on the page to sign in
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from functools import cache
from ssl import SSLContext
from typing import Any
from urllib.parse import quote_plus

import structlog
from authlib.integrations.starlette_client import OAuth, OAuthError, StarletteOAuth2App
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from httpx2 import create_ssl_context
from starlette.responses import Response

from personas.accounts import CONSOLE_ITSELF
from personas.admin.session import NOBODY, address_of, let_in, local_path, make_room, show_login
from personas.audit import Action
from personas.sso import Person, Provider

PATH = "/login/sso"
HOW = "by single sign-on"
PATIENCE_S = 10
LONGEST_NEXT = 1_000  # characters, of a cookie's 4096
ASYMMETRIC = ("RS", "PS", "ES", "Ed")
log = structlog.get_logger(__name__)


@cache
def _tls() -> SSLContext:
    """Return what connections are checked by; made once, because that reads every root certificate."""
    return create_ssl_context()


def _basic(client: Any, method: str, uri: str, headers: MutableMapping[str, str], body: str) -> tuple[Any, ...]:
    """Show who we are as RFC 6749, 2.3.1, wants it: encoded, which Authlib leaves out."""
    both = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {b64encode(both.encode()).decode()}"
    return uri, headers, body


class SignInFailed(Exception):
    """Nobody is signed in by the provider; the message is for the page."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


AWAY = "Single sign-on does not work now: the server's log says why. Try again in a moment.", 503
UNVERIFIED = "The provider's answer could not be verified: the server's log says why. Try again.", 502
STALE = "This sign-in was begun in another window or too long ago. Begin it again here.", 400
DENIED = "You were not signed in at the provider: it says access_denied.", 403


class SingleSignOn:
    """A provider as the console uses it. ``origin`` is where browsers reach the console."""

    def __init__(self, provider: Provider, origin: str) -> None:
        self.provider = provider
        self._callback = origin + PATH + "/callback"
        self._login = origin + "/login"
        well_known = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
        settings = {"scope": provider.scopes, "code_challenge_method": "S256", "timeout": PATIENCE_S}
        settings["verify"] = _tls()
        client = OAuth().register(
            "provider",
            client_id=provider.client_id,
            client_secret=provider.client_secret or None,
            server_metadata_url=well_known,
            client_kwargs=settings,
            client_auth_methods=[("client_secret_basic", _basic)],
        )
        assert isinstance(client, StarletteOAuth2App)
        self._client = client

    async def begin(self, request: Request) -> Response:
        """Send a browser to the provider; raises SignInFailed."""
        async with _conversation(AWAY):
            await self._metadata()
            return await self._client.authorize_redirect(request, self._callback)

    async def claims(self, request: Request) -> Mapping[str, Any]:
        """Return what the provider says of who comes back from it; raises SignInFailed."""
        async with _conversation(AWAY):
            metadata = await self._metadata()
        async with _conversation(UNVERIFIED):
            token = await self._client.authorize_access_token(
                request,
                claims_options={
                    "iss": {"essential": True, "values": [metadata["issuer"]]},
                    "aud": {"essential": True, "values": [self.provider.client_id]},
                },
            )
            claims = token["userinfo"]
            if "userinfo_endpoint" in metadata:
                told = await self._client.userinfo(token=token)
                if told["sub"] != claims["sub"]:
                    raise ValueError("the userinfo endpoint speaks of somebody else")
                claims = told | claims
            return claims

    async def way_out(self) -> str:
        """Return where the provider signs people out, or our own page where it doesn't; raises SignInFailed."""
        async with _conversation(AWAY):
            if "end_session_endpoint" not in await self._metadata():
                return self._login
            about = {"post_logout_redirect_uri": self._login, "client_id": self.provider.client_id}
            out = await self._client.create_logout_url(**about)  # pyright: ignore[reportAttributeAccessIssue]
            return out["url"]

    def router(self) -> APIRouter:
        """Return the routes, which work without being signed in."""
        router = APIRouter()

        async def failed(request: Request, error: SignInFailed) -> Response:
            return await show_login(request, error=str(error), status=error.status)

        @router.get(PATH)
        async def begin(request: Request, next: str = "/") -> Response:
            make_room(request)
            try:
                answer = await self.begin(request)
            except SignInFailed as error:
                return await failed(request, error)
            request.session["next"] = local_path(next) if len(next) <= LONGEST_NEXT else "/"
            return answer

        @router.get(PATH + "/callback")
        async def come_back(request: Request) -> Response:
            wanted = local_path(request.session.get("next", "/"))
            try:
                claims = await self.claims(request)
                await _admit(request, self.provider, claims)
            except SignInFailed as error:
                return await failed(request, error)
            return RedirectResponse(wanted, 303)

        @router.get(PATH + "/sign-out")
        async def sign_out(request: Request) -> Response:
            try:
                return RedirectResponse(await self.way_out(), 303)
            except SignInFailed as error:
                return await failed(request, error)

        return router

    async def _metadata(self) -> Mapping[str, Any]:
        """Return what the provider publishes about itself, held to what we rely on."""
        metadata = await self._client.load_server_metadata()
        if str(metadata.get("issuer", "")).rstrip("/") != self.provider.issuer.rstrip("/"):
            metadata.clear()  # to be asked again
            raise ValueError("PARLEY_OIDC_ISSUER is not what the provider calls itself")
        # Of its algorithms only those by which nobody but the provider signs: not "none", nothing with our secret.
        known = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [each for each in known if each[:2] in ASYMMETRIC]
        if "client_secret_basic" not in metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            self._client.client_kwargs["token_endpoint_auth_method"] = "client_secret_post"  # noqa: S105 no password
        return metadata


async def _admit(request: Request, provider: Provider, claims: Mapping[str, Any]) -> None:
    """Sign in whom claims are about, known or not; raises SignInFailed where their claims give no role."""
    state = request.app.state
    person, role = Person.from_claims(claims["iss"], claims), provider.role(claims)
    if role is not None:
        await let_in(request, await state.accounts.arrived(person, role), HOW)
        return
    user = await state.accounts.departed(person)
    detail = f"{HOW} as {person.name}: no role, from {address_of(request)}"
    await state.audit.record(user.actor if user else NOBODY, Action.SIGN_IN_REFUSED, CONSOLE_ITSELF, detail)
    raise SignInFailed(
        f"The provider knows you as {person.name}, but that gives no role here. "
        f"Ask whoever runs Parley: its claim {provider.role_claim} must hold one of the values that give a role.",
        403,
    )


@asynccontextmanager
async def _conversation(failure: tuple[str, int]) -> AsyncIterator[None]:
    """Make ``failure`` of whatever goes wrong with a provider, and log why."""
    try:
        yield
    except OAuthError as error:
        log.warning("single sign-on refused", error=error.error, why=error.description)
        known = {"mismatching_state": STALE, "access_denied": DENIED}
        raise SignInFailed(*known.get(error.error, failure)) from None
    except Exception as error:  # its answer may be anything
        log.error("single sign-on failed", error=type(error).__name__, why=str(error))
        raise SignInFailed(*failure) from None
