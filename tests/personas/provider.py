"""A provider of OpenID Connect on a socket of this machine: the code flow with PKCE, and faults on demand.

It signs whoever comes in as ``claims`` says, asking nothing; what a client must send is checked as a provider does.
"""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import quote_plus, urlencode

import uvicorn
from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey

KEYS = [RSAKey.generate_key(2048, {"kid": kid}) for kid in ("1", "2", "1")]
CLIENT_ID, CLIENT_SECRET = "parley", "a secret: of 32 % characters"
METADATA = "/.well-known/openid-configuration"


class OpenIdProvider:
    """``claims`` are in the ID token, ``userinfo`` at its endpoint; ``spoil`` replaces claims of the token."""

    def __init__(self) -> None:
        self.key = KEYS[0]
        self.claims: dict[str, Any] = {"sub": "u1"}
        self.userinfo: dict[str, Any] = {}
        self.spoil: dict[str, Any] = {}
        self.spoil_header: dict[str, Any] = {}
        self.signing_key: RSAKey | None = None
        self.metadata: dict[str, Any] = {}
        self.answers = 0  # token requests that were right
        self.issuer = ""
        self._asked: dict[str, dict[str, str]] = {}
        self.app = FastAPI()
        for method, path, endpoint in (
            ("GET", METADATA, self._publish),
            ("GET", "/jwks", self._keys),
            ("GET", "/authorize", self._authorize),
            ("POST", "/token", self._token),
            ("GET", "/me", self._me),
        ):
            self.app.add_api_route(path, endpoint, methods=[method])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["OpenIdProvider"]:
        server = uvicorn.Server(uvicorn.Config(self.app, port=0, log_level="warning", lifespan="off"))
        socket = server.config.bind_socket()
        self.issuer = f"http://127.0.0.1:{socket.getsockname()[1]}"
        serving = asyncio.create_task(server.serve(sockets=[socket]))
        try:
            yield self
        finally:
            server.should_exit = True
            await serving

    async def _publish(self) -> dict[str, Any]:
        known = {
            "issuer": self.issuer,
            "authorization_endpoint": self.issuer + "/authorize",
            "token_endpoint": self.issuer + "/token",
            "userinfo_endpoint": self.issuer + "/me",
            "end_session_endpoint": self.issuer + "/end",
            "jwks_uri": self.issuer + "/jwks",
            "id_token_signing_alg_values_supported": ["RS256", "none", "HS256"],
        }
        return known | self.metadata

    async def _keys(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    async def _authorize(self, request: Request) -> RedirectResponse:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(8)
        self._asked[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}", 302)

    async def _token(
        self,
        request: Request,
        code: Annotated[str, Form()],
        redirect_uri: Annotated[str, Form()],
        code_verifier: Annotated[str, Form()],
        grant_type: Annotated[str, Form()],
        client_secret: Annotated[str, Form()] = "",
    ) -> dict[str, Any]:
        basic = base64.b64encode(f"{CLIENT_ID}:{quote_plus(CLIENT_SECRET)}".encode()).decode()  # RFC 6749, 2.3.1
        if request.headers.get("Authorization") != f"Basic {basic}" and client_secret != CLIENT_SECRET:
            raise HTTPException(401, "invalid_client")
        asked = self._asked.pop(code, None)  # a code opens once
        challenge = base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()
        if asked is None or (asked["code_challenge"], asked["redirect_uri"]) != (challenge, redirect_uri):
            raise HTTPException(400, "invalid_grant")
        assert grant_type == "authorization_code"
        self.answers += 1
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        header = {"alg": "RS256", "kid": self.key.kid} | self.spoil_header
        algorithms = [header["alg"]]
        token = jwt.encode(header, claims | self.claims | self.spoil, self.signing_key or self.key, algorithms)
        return {"access_token": "at", "token_type": "Bearer", "expires_in": 300, "id_token": token}

    async def _me(self, request: Request) -> dict[str, Any]:
        assert request.headers["Authorization"] == "Bearer at"
        return {"sub": self.claims["sub"]} | self.userinfo
