"""What values settings take: their checks, and a sentence for each value that can't be used."""

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv6Address, ip_network
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, SecretStr, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from personas.sso import BadRoleMap, role_map
from personas.voices import OWN_NAME


def parts(value: str) -> tuple[str, ...]:
    """Return what stands between commas."""
    return tuple(part for each in value.split(",") if (part := each.strip()))


def _no_trailing_slash(value: str) -> str:
    return value.rstrip("/")


def _with_host(url: str) -> str:
    host = urlsplit(url).hostname
    if url and (not host or any(letter.isspace() for letter in url)):
        raise ValueError("must name a host and hold no space, e.g. https://calls.example.com")
    return url


def _is_origin(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with https:// (or http:// for tests) and name a host")
    if value.count("/") > 2:
        raise ValueError("must be an origin without a path, e.g. https://calls.example.com")
    return value


def peer_origin(address: str, port: int) -> str:
    """Return the origin of another machine's ``address``: a host, an IP address, one with a port, or an origin."""
    if not address or "://" in address:
        return address
    with suppress(ValueError):
        address = f"[{IPv6Address(address)}]"
    return f"http://{address}" if urlsplit(f"//{address}").port else f"http://{address}:{port}"


def _is_peer(value: str) -> str:
    wrong = "must be a host name or IP address, with a port or without, or an origin, e.g. 10.0.0.5 or gw1:8080"
    try:
        parsed = urlsplit(peer_origin(value, 8080))
        is_good = not value or (parsed.scheme in ("http", "https") and parsed.hostname and parsed.port != 0)
    except ValueError:
        raise ValueError(wrong) from None
    if not is_good or any((parsed.path, parsed.query, parsed.fragment, parsed.username)) or set(value) & set(" \t\n"):
        raise ValueError(wrong)
    return value


def _of_web(example: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(f"must begin with https://, e.g. {example}")
        return value

    return AfterValidator(check)


def _is_account(value: str) -> str:
    if value and not (value.startswith("AC") and value.isalnum()):
        raise ValueError("must be an account SID: AC with more letters and digits, from Twilio's console")
    return value


def _is_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError("must be the IANA name of a time zone, e.g. Europe/Berlin or America/New_York") from None
    return value


def _are_networks(value: str) -> str:
    for proxy in parts(value):
        try:
            ip_network(proxy)
        except ValueError:
            raise ValueError(
                "must be IP addresses or networks, separated by commas, e.g. 127.0.0.1 or 10.0.0.0/8"
            ) from None
    return value


def _are_voices(value: str) -> str:
    for name in parts(value):
        if not OWN_NAME.fullmatch(name):
            raise ValueError(f"must be names of voice files, separated by commas, not {name!r}")
    return value


def _is_issuer(value: str) -> str:
    parsed = urlsplit(value)
    if value and parsed.scheme != "https" and parsed.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("must begin with https://, e.g. https://login.example.com (http:// on this machine only)")
    return value


def _is_role_map(value: str) -> str:
    try:
        role_map(value)
    except BadRoleMap as error:
        raise ValueError(str(error)) from None
    return value


def _asks_for_openid(value: str) -> str:
    if "openid" not in value.split():
        raise ValueError("must hold openid, with spaces between scopes, e.g. openid profile email groups")
    return value


Address = Annotated[str, AfterValidator(_no_trailing_slash)]
Origin = Annotated[Address, AfterValidator(_is_origin), AfterValidator(_with_host)]
PeerAddress = Annotated[Address, AfterValidator(_is_peer)]
Endpoint = Annotated[str, _of_web("https://crm.example.com/callers"), AfterValidator(_with_host)]
"""An address that is asked as it stands: a slash at its end may make it another."""
Collector = Annotated[Address, _of_web("http://collector:4318"), AfterValidator(_with_host)]
WebAddress = Annotated[Address, _of_web("https://llm.example.com/v1"), AfterValidator(_with_host)]
TwilioAddress = Annotated[Address, _of_web("https://api.dublin.ie1.twilio.com"), AfterValidator(_with_host)]
AccountSid = Annotated[str, AfterValidator(_is_account)]
Zone = Annotated[str, AfterValidator(_is_zone)]
Networks = Annotated[str, AfterValidator(_are_networks)]
Issuer = Annotated[str, AfterValidator(_is_issuer), AfterValidator(_with_host)]
Scopes = Annotated[str, AfterValidator(_asks_for_openid)]
RoleMap = Annotated[str, AfterValidator(_is_role_map)]
OwnVoices = Annotated[str, AfterValidator(_are_voices)]


class Checked(BaseSettings):
    """What settings ask of each other; ``Settings`` has the fields."""

    @field_validator("peer_address", check_fields=False)
    @classmethod
    def _shares_a_database(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("database_url", "").startswith("postgres"):
            raise ValueError("needs PARLEY_DATABASE_URL to name a PostgreSQL database: machines can't share a file")
        return value

    @field_validator("session_secret", check_fields=False)
    @classmethod
    def _is_shared(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.data.get("peer_address") and not value.get_secret_value():
            raise ValueError("must be set, to the same value on every machine, where PARLEY_PEER_ADDRESS is")
        return value

    @field_validator("oidc_client_id", "oidc_roles", check_fields=False)
    @classmethod
    def _comes_with_a_provider(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("oidc_issuer") and not value:
            raise ValueError("must be set where PARLEY_OIDC_ISSUER is")
        return value

    @field_validator("oidc_only", check_fields=False)
    @classmethod
    def _leaves_a_way_in(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("oidc_issuer"):
            raise ValueError("needs PARLEY_OIDC_ISSUER: nobody could sign in")
        return value

    @field_validator("judge_model", check_fields=False)
    @classmethod
    def _is_named(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("judge_base_url") and not value:
            raise ValueError("must name the model that PARLEY_JUDGE_BASE_URL is asked for")
        return value


def sentence(variable: str, field: FieldInfo, problem: Mapping[str, Any]) -> str:
    """Return what a setting must be; never what it was, which may be a secret.

    Args:
        problem: one of ``pydantic.ValidationError.errors()``.
    """
    if problem["type"] == "value_error":
        return f"{variable} {problem['ctx']['error']}."
    return f"{variable} must be {_wanted(field)}."


def _wanted(field: FieldInfo) -> str:
    """Return in words what values a setting takes."""
    if choices := [each for each in get_args(field.annotation) if isinstance(each, str)]:
        return ("empty or " if "" in choices else "") + " or ".join(filter(None, choices))
    words = {bool: "true or false", int: "a whole number", float: "a number"}.get(field.annotation or str, "text")
    bounds = {
        name: getattr(limit, name) for limit in field.metadata for name in ("ge", "gt", "le") if hasattr(limit, name)
    }
    if "le" not in bounds:
        return words
    least = f", {bounds['ge']} to" if "ge" in bounds else f" above {bounds['gt']}, at most"
    return f"{words}{least} {bounds['le']}"
