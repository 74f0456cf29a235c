"""The console's pages that show personas; they are changed in editing.py, their numbers in number_pages.py."""

import asyncio
from collections.abc import Collection

from fastapi import APIRouter, Request
from starlette.responses import Response

from personas.admin import editing, number_pages, talking
from personas.admin.access import ANALYST
from personas.admin.editing import chosen, known_versions, shown_changes
from personas.admin.rendering import Pages
from personas.admin.section import Section
from personas.admin.talking import Dial
from personas.persona import RuleKind
from personas.prompt import render_role_prompt
from personas.store import PersonaStore, content_hash

RULE_COLOURS = {
    RuleKind.OFFER: "green",
    RuleKind.REFUSE: "red",
    RuleKind.VERIFY: "purple",
    RuleKind.STEP: "blue",
    RuleKind.ESCALATE: "orange",
}


def sections(store: PersonaStore, own_voices: Collection[str] = (), dial: Dial | None = None) -> tuple[Section, ...]:
    """Return the sections "Personas" and "Numbers"; see ``console.mount`` for ``own_voices`` and ``dial``."""
    return (
        Section("Personas", "/personas", "users", _personas(store, own_voices, dial)),
        number_pages.section(store),
    )


def _personas(store: PersonaStore, own_voices: Collection[str], dial: Dial | None) -> APIRouter:
    router, pages = APIRouter(), Pages("personas")

    @router.get("/personas", dependencies=ANALYST)
    async def listed(request: Request, archived: bool = False) -> Response:
        every = await store.personas(also_archived=True)
        values = {"archived": archived, "away": sum(each.archived_at is not None for each in every)}
        shown = [each for each in every if archived == (each.archived_at is not None)]
        return await pages(request, "personas.html", active="/personas", personas=shown, **values)

    @router.get("/personas/{slug}", dependencies=ANALYST)
    async def one(request: Request, slug: str, version: int | None = None) -> Response:
        versions = await known_versions(store, slug)
        live = next((each for each in versions if each.published_at is not None), None)
        shown = chosen(versions, version) if version is not None else live or versions[0]
        numbers = await store.numbers()
        return await pages(
            request,
            "persona.html",
            active="/personas",
            card=shown.card,
            shown=shown,
            live=live,
            base=content_hash(shown.card),
            differences=shown_changes(live.card, shown.card) if live and live is not shown else [],
            versions=versions,
            numbers=[each.number for each in numbers if each.persona_slug == slug],
            closed_numbers=[each.number for each in numbers if each.out_of_hours == slug != each.persona_slug],
            archived_at=await store.archived_at(slug),
            role_prompt=await asyncio.to_thread(render_role_prompt, shown.card),
            rule_colours=RULE_COLOURS,
            can_talk=dial is not None,
            keys=[key for digit in "1234567890*#" if (key := shown.card.key(digit))],
        )

    editing.add_routes(router, pages, store, own_voices)
    if dial:
        talking.add_routes(router, pages, store, own_voices, dial)
    return router
