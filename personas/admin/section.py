"""A part of the console: its pages, and the entry that leads there."""

from dataclasses import dataclass

from fastapi import APIRouter

from personas.admin.csrf import LARGEST_FORM_BYTES


@dataclass(frozen=True, slots=True)
class Section:
    """``path`` is the address that the navigation leads to, e.g. ``/calls``; ``icon`` a name in icons.svg.

    ``router`` is mounted behind the login; every form that changes something is checked for its token, and that it
    has at most ``largest_form_bytes``.
    """

    title: str
    path: str
    icon: str
    router: APIRouter
    largest_form_bytes: int = LARGEST_FORM_BYTES
