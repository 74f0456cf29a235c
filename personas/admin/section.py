"""A part of the console: its pages, and the entry that leads there."""

from dataclasses import dataclass

from fastapi import APIRouter


@dataclass(frozen=True, slots=True)
class Section:
    """``path`` is the address that the navigation leads to, e.g. ``/calls``; ``icon`` a name in icons.svg.

    ``router`` is mounted behind the login; every form that changes something is checked for its token.
    """

    title: str
    path: str
    icon: str
    router: APIRouter
