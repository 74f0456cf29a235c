"""Talking to a persona version from the browser: a page with a microphone, and the call it may make.

page ──POST {version}──▶ dial(version, user) ──▶ what the page sends to the line, as JSON

Any version may be tried, a draft too, if it could be published as it is.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from personas.admin.access import EDITOR
from personas.admin.editing import PATH, chosen, known_versions
from personas.admin.headers import PERMISSIONS, permissions
from personas.admin.rendering import Pages
from personas.card_files import card_text, parse_card
from personas.errors import CardError
from personas.store import PersonaStore, PersonaVersion

Dial = Callable[[int, str], Mapping[str, object]]
"""``dial(version_id, user's name)`` returns what the page needs for one call, as values of JSON."""


def add_routes(router: APIRouter, pages: Pages, store: PersonaStore, own_voices: Collection[str], dial: Dial) -> None:
    """Add the page on which a persona is talked to, and what it asks to begin a call."""

    @router.get(PATH + "/{slug}/talk", dependencies=EDITOR)
    async def talk(request: Request, slug: str, version: int | None = None) -> Response:
        versions = await known_versions(store, slug)
        live = next((each for each in versions if each.published_at is not None), None)
        shown = chosen(versions, version) if version is not None else live or versions[0]
        page = await pages(
            request,
            "talk.html",
            active=PATH,
            card=shown.card,
            shown=shown,
            live=live,
            problem=await asyncio.to_thread(_problem, shown, own_voices),
        )
        page.headers[PERMISSIONS] = permissions(microphone=True)
        return page

    @router.post(PATH + "/{slug}/talk", dependencies=EDITOR)
    async def begin(request: Request, slug: str) -> Response:
        number = str((await request.form()).get("version", ""))
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise HTTPException(400, "The form names no version. Reload the page and begin again.")
        version = chosen(await known_versions(store, slug), int(number))
        if problem := await asyncio.to_thread(_problem, version, own_voices):
            return JSONResponse({"refused": problem}, 409)
        await store.note_test(version.id)
        return JSONResponse(dict(dial(version.id, request.state.user.name)))


def _problem(version: PersonaVersion, own_voices: Collection[str]) -> str:
    """Return why a version could not be published as it is now; "" if it could."""
    try:
        parse_card(card_text(version.card), own_voices)
    except CardError as error:
        return f"This version can't be talked to, nor published: {error}"
    return ""
