"""What a provider of OpenID Connect says of somebody, and which role that gives them here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from personas.errors import PersonaError
from personas.roles import Role

ANYBODY = "*"


class BadRoleMap(PersonaError):
    """What values of a claim shall give which role can't be read; the message says how it is written."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Where people are known, and what we are there.

    ``role_claim`` names the claim whose values ``roles`` maps; dots lead into objects, e.g. ``realm_access.roles``.
    The value ``*`` is everybody's. ``is_only``: nobody signs in with a password.
    """

    issuer: str
    client_id: str
    client_secret: str
    role_claim: str
    roles: Mapping[str, Role]
    scopes: str = "openid profile email"
    is_only: bool = False

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the highest role that somebody's claims give, None where they give none."""
        values = {ANYBODY, *_values(claims, self.role_claim)}
        found = [role for role in Role if any(self.roles.get(value) == role for value in values)]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom a provider knows: for good by issuer and subject, at present by the rest."""

    issuer: str
    subject: str
    name: str
    display_name: str
    email: str

    @classmethod
    def from_claims(cls, issuer: str, claims: Mapping[str, Any]) -> "Person":
        """Return whom claims are about; raises KeyError without a subject."""
        told = {name: _plain(claims.get(name)) for name in ("preferred_username", "email", "name")}
        name = told["preferred_username"] or told["email"] or _plain(claims["sub"])
        return cls(issuer, str(claims["sub"]), name, told["name"], told["email"])


def role_map(text: str) -> dict[str, Role]:
    """Return the roles by value from ``value=role, value=role``.

    Raises:
        BadRoleMap: it is not written so, or a role is none.
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        value, equals, role = (each.strip() for each in part.rpartition("="))
        if not value or not equals or role not in set(Role):
            raise BadRoleMap(f"must be like parley-admins=admin,parley-staff=analyst; roles are {', '.join(Role)}")
        found[value] = Role(role)
    return found


def _values(claims: Mapping[str, Any], name: str) -> set[str]:
    """Return a claim's values; of an object its names, as some providers list roles so."""
    if name == "email" and claims.get("email_verified") is not True:
        return set()  # at some providers people type in any address they like
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return {found}
    return {each for each in found if isinstance(each, str)} if isinstance(found, list | Mapping) else set()


def _plain(text: object) -> str:
    return "".join(each for each in text if each.isprintable())[:256].strip() if isinstance(text, str) else ""
