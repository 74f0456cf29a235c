"""A part of the console: its pages, and the entry that leads there."""

from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.routing import APIRoute

from personas.admin.access import role_of
from personas.admin.csrf import LARGEST_FORM_BYTES
from personas.roles import Role


@dataclass(frozen=True, slots=True)
class Section:
    """``path`` is the address that the navigation leads to, e.g. ``/calls``; ``icon`` a name in icons.svg.

    ``router`` is mounted behind the login; every form that changes something is checked for its token, and that it
    has at most ``largest_form_bytes``. Every route states the least role that may use it (personas.admin.access).
    """

    title: str
    path: str
    icon: str
    router: APIRouter
    largest_form_bytes: int = LARGEST_FORM_BYTES

    @property
    def role(self) -> Role:
        """The least role that may open ``path``, and so sees the section's entry."""
        routes = (each for each in self.router.routes if isinstance(each, APIRoute))
        return next(role_of(each) for each in routes if each.path == self.path and "GET" in (each.methods or ()))
