"""The console: the pages of every section behind one login, in one application mounted below the carrier's routes."""

from collections.abc import Sequence

from fastapi import FastAPI

from personas.admin.section import Section
from personas.db import Database


def mount(
    app: FastAPI, *, database: Database, session_secret: str, secure: bool, sections: Sequence[Section] = ()
) -> None:
    """Serve the console at every path that ``app`` has no route for; call it after all routes are added.

    Args:
        session_secret: the key that signs login cookies, at least 32 characters, the same in all processes.
        secure: whether browsers reach the console by https only (the public URL's scheme): marks cookies Secure.
        sections: parts of other packages, e.g. ``crm.admin.pages.section(…)``; the first one is the start page.
    """
