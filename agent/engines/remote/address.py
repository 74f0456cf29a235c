"""Where the other engines are: PARLEY_ENGINE_URL, read into what connecting takes."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from agent.duplex import EngineUnavailable
from agent.wire.query import PCM
from agent.wire.token import check_token

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_PATH = "/api/chat"


@dataclass(frozen=True, slots=True)
class Address:
    """``url`` has the scheme ws or wss and a path; ``query`` is what the setting's own URL asks for."""

    url: str
    query: tuple[tuple[str, str], ...] = ()
    token: str = ""

    @classmethod
    def read(cls, text: str, token: str) -> "Address":
        """Read one URL of ``engine_url``.

        Raises:
            EngineUnavailable: it is none of an engine.
        """
        try:
            parts = urlsplit(text if "://" in text else f"//{text}")
            host, _ = parts.hostname, parts.port
            (host or "").encode("idna")  # as connecting will
        except ValueError as error:
            raise EngineUnavailable(f"PARLEY_ENGINE_URL is no address ({error}); e.g. ws://127.0.0.1:8998.") from error
        if parts.scheme not in _SCHEMES or not host or parts.username is not None:
            raise EngineUnavailable(
                "PARLEY_ENGINE_URL must look like ws://HOST:PORT or wss://HOST, several with commas between; "
                "a token goes to PARLEY_ENGINE_TOKEN."
            )
        url = urlunsplit((_SCHEMES[parts.scheme], parts.netloc, parts.path.rstrip("/") or _PATH, "", ""))
        return cls(url, tuple(parse_qsl(parts.query, keep_blank_values=True)), token)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.is_secure else 80)

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, and no name."""
        with suppress(ValueError):
            return bool(ip_address(self.host))
        return False

    @property
    def pcm(self) -> bool:
        """Whether the URL asks for raw sound, as ``?format=pcm_s16le``: only Parley's own server has it."""
        return dict(self.query).get("format") == PCM

    @property
    def leaves_format(self) -> bool:
        """Whether the URL asks for no format."""
        return "format" not in dict(self.query)

    @property
    def is_secure(self) -> bool:
        return self.url.startswith("wss:")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @property
    def health_url(self) -> str:
        """Where Parley's own server tells its slots; other servers have nothing there."""
        parts = urlsplit(self.url)
        return urlunsplit(("https" if parts.scheme == "wss" else "http", parts.netloc, "/health", "", ""))

    def chat_url(self, query: Mapping[str, str]) -> str:
        """Return the URL of one call; what the setting's URL asks for wins."""
        asked = urlencode(dict(query) | dict(self.query))
        return f"{self.url}?{asked}" if asked else self.url


def addresses_of(options: Mapping[str, str]) -> list[Address]:
    """Read ``engine_url``, one URL or several with commas or spaces between, and ``engine_token``.

    Raises:
        EngineUnavailable: there is no URL, or one is none of an engine, or the token can't be sent.
    """
    urls = options.get("engine_url", "").replace(",", " ").split()
    if not urls:
        raise EngineUnavailable(
            "PARLEY_ENGINE_URL is empty: the engine 'remote' needs the address of a PersonaPlex server, "
            "e.g. ws://127.0.0.1:8998."
        )
    token = options.get("engine_token", "")
    check_token(token)
    return list(dict.fromkeys(Address.read(url, token) for url in urls))


def slots_of(options: Mapping[str, str]) -> int:
    """Read ``engine_slots``; 0 asks the server.

    Raises:
        EngineUnavailable: it is not a whole number from 0 up.
    """
    text = options.get("engine_slots") or "0"
    if not text.isdecimal():
        raise EngineUnavailable(f"PARLEY_ENGINE_SLOTS must be a whole number from 0 up, not {text!r}.")
    return int(text)
