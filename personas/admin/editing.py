"""Editing role cards in the console: as YAML text, checked, kept as a draft, published.

form {text, base} ──parse──▶ card ──save_draft(base)──▶ draft │ both texts, if somebody else saved meanwhile

``base`` is the content hash of the newest version that the form was made from.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from personas.admin.access import EDITOR
from personas.admin.rendering import Pages
from personas.card_files import card_text, parse_card
from personas.changes import changes
from personas.errors import CardError, DraftChanged, PersonaArchived, PersonaInUse, UnknownPersona
from personas.lint import lint_card
from personas.persona import PersonaCard
from personas.prompt import render_role_prompt
from personas.store import PersonaStore, PersonaVersion, content_hash

PATH, NEW_PATH = "/personas", "/new-persona"
LIMITS = {"text": 100_000, "note": 200}  # characters
SKELETON = """\
# A role card: who answers, what it knows, what it must and must not do. Lines like this one are not kept.
slug: my-office
title: Front desk
scenario: A customer calls to ask about prices and opening hours.
agent:
  name: Ann Miller
  company: My Office
  role: receptionist
  business: a small office
voice: NATF2
greeting: Thank you for calling My Office, this is Ann. How can I help you?
facts:
  - id: opening_time
    topic: opening time on weekdays
    kind: time
    value: 8:00 a.m.
    say: We open at 8:00 a.m. from Monday to Friday.
    questions:
      - when do you open
      - what time do you open in the morning
    keywords: [open, opening, morning, hours]
rules:
  - id: no_discounts
    kind: refuse
    text: Never promise a discount.
    say: I can't promise a discount.
    forbidden_phrases: [I can give you a discount]
unknown_say: I'm sorry, I don't have that information here.
off_topic_say: I can only help with questions about My Office.
rude_say: I understand that you're upset, and I do want to help you.
closing_say: Thank you for calling My Office. Goodbye!
"""


@dataclass(frozen=True, slots=True)
class Edited:
    """What a form brought: the persona it edits ("" for a new one), its text, what it was made from, and a note."""

    slug: str
    text: str
    base: str
    note: str


@dataclass(frozen=True, slots=True)
class ShownChange:
    """What of one field is only in the old card, and what only in the new."""

    field: str
    gone: tuple[str, ...]
    came: tuple[str, ...]


def add_routes(router: APIRouter, pages: Pages, store: PersonaStore, own_voices: Collection[str]) -> None:
    """Add the pages that change a persona; those that show it are in personas.admin.pages."""
    _forms(router, pages, store)
    _saving(router, pages, store, own_voices)
    _publishing(router, store)
    _archiving(router, store)


def shown_changes(old: PersonaCard, new: PersonaCard) -> list[ShownChange]:
    """Return what differs between two cards, of lists only the lines that do."""

    shown = []
    for each in changes(old, new):
        gone, came = _lines(each.old), _lines(each.new)
        if set(gone) != set(came):  # else the same lines in another order, which are shown whole
            gone, came = tuple(x for x in gone if x not in came), tuple(x for x in came if x not in gone)
        shown.append(ShownChange(each.field, gone, came))
    return shown


def _lines(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,) if value else ()


def _forms(router: APIRouter, pages: Pages, store: PersonaStore) -> None:
    @router.get(NEW_PATH, dependencies=EDITOR)
    async def begin(request: Request) -> Response:
        return await _form(pages, request, Edited("", SKELETON, "", ""))

    @router.get(PATH + "/{slug}/edit", dependencies=EDITOR)
    async def edit(request: Request, slug: str, version: int | None = None) -> Response:
        versions = await known_versions(store, slug)
        if await store.archived_at(slug):
            raise HTTPException(409, f"The persona {slug!r} is archived; bring it back on its page to edit it.")
        source = versions[0] if version is None else chosen(versions, version)
        text = await asyncio.to_thread(card_text, source.card)
        note = "" if source is versions[0] else f"From version {source.number}"
        edited = Edited(slug, text, content_hash(versions[0].card), note)
        draft = None if versions[0].published_at or versions[0].tested_at else versions[0]
        return await _form(pages, request, edited, source=source, draft=draft)


def _saving(router: APIRouter, pages: Pages, store: PersonaStore, own_voices: Collection[str]) -> None:
    @router.post(PATH, dependencies=EDITOR)
    async def save(request: Request) -> Response:
        form = await request.form()
        edited = Edited(*(_text(form.get(name)) for name in ("slug", "text", "base", "note")))
        try:
            card = await asyncio.to_thread(_card, edited, own_voices)
        except CardError as error:
            return await _form(pages, request, edited, status=422, problem=str(error))
        if form.get("action") != "save":
            return await _form(pages, request, edited, card=card)
        try:
            note = edited.note.strip() or f"Saved by {request.state.user.name}"
            saved = await store.save_draft(card, note=note[: LIMITS["note"]], base=edited.base)
        except DraftChanged:
            if not edited.slug:
                problem = f"slug: {card.slug!r} is taken by another persona; choose another, or edit that persona."
                return await _form(pages, request, edited, status=422, problem=problem)
            return await _both(pages, request, store, edited, card)
        except PersonaArchived as error:
            return await _form(pages, request, edited, status=422, problem=str(error))
        return RedirectResponse(f"{PATH}/{saved.persona_slug}?version={saved.number}", 303)


def _publishing(router: APIRouter, store: PersonaStore) -> None:
    @router.post(PATH + "/{slug}/publish", dependencies=EDITOR)
    async def publish(request: Request, slug: str) -> Response:
        base = _text((await request.form()).get("base"))
        try:
            await store.by(request.state.user.actor).publish(slug, base=base)
        except UnknownPersona as error:
            raise HTTPException(404, str(error)) from None
        except PersonaArchived as error:
            raise HTTPException(409, str(error)) from None
        except DraftChanged:
            text = "The draft was changed by somebody else since you opened the page. Go back, reload and look again."
            raise HTTPException(409, text) from None
        return RedirectResponse(f"{PATH}/{slug}", 303)


def _archiving(router: APIRouter, store: PersonaStore) -> None:
    @router.post(PATH + "/{slug}/archive", dependencies=EDITOR)
    async def archive(request: Request, slug: str) -> Response:
        try:
            await store.by(request.state.user.actor).archive(slug)
        except UnknownPersona as error:
            raise HTTPException(404, str(error)) from None
        except PersonaInUse as error:
            raise HTTPException(409, str(error)) from None
        return RedirectResponse(f"{PATH}/{slug}", 303)

    @router.post(PATH + "/{slug}/bring-back", dependencies=EDITOR)
    async def bring_back(request: Request, slug: str) -> Response:
        try:
            await store.by(request.state.user.actor).bring_back(slug)
        except UnknownPersona as error:
            raise HTTPException(404, str(error)) from None
        return RedirectResponse(f"{PATH}/{slug}", 303)


def _card(edited: Edited, own_voices: Collection[str]) -> PersonaCard:
    """Return the form's card; raises CardError also where it would become another persona's."""
    if len(edited.text) > LIMITS["text"]:
        raise CardError(f"the card is longer than {LIMITS['text']} characters; a role card has some thousand.")
    card = parse_card(edited.text, own_voices)
    if edited.slug and card.slug != edited.slug:
        raise CardError(f"slug: this persona's slug stays {edited.slug!r}; for another persona use New persona.")
    return card


async def _form(
    pages: Pages,
    request: Request,
    edited: Edited,
    *,
    status: int = 200,
    problem: str = "",
    card: PersonaCard | None = None,
    source: PersonaVersion | None = None,
    draft: PersonaVersion | None = None,
) -> Response:
    """Show the text, which is of ``source``; with ``card``, which it holds, its role prompt and what is odd in it."""
    checked: dict[str, Any] = {"role_prompt": "", "findings": []}
    if card:
        checked["role_prompt"] = await asyncio.to_thread(render_role_prompt, card)
        checked["findings"] = await asyncio.to_thread(lint_card, card, testable=False)
    return await pages(
        request,
        "persona_edit.html",
        status=status,
        active=PATH,
        edited=edited,
        problem=problem,
        source=source,
        draft=draft,
        is_checked=card is not None,
        limits=LIMITS,
        **checked,
    )


async def _both(pages: Pages, request: Request, store: PersonaStore, edited: Edited, card: PersonaCard) -> Response:
    """Show what somebody else saved beside what this form brought; saving again replaces what is shown."""
    newest = (await known_versions(store, edited.slug))[0]
    return await pages(
        request,
        "persona_conflict.html",
        status=409,
        active=PATH,
        edited=edited,
        newest=newest,
        base=content_hash(newest.card),
        theirs=await asyncio.to_thread(card_text, newest.card),
        differences=shown_changes(newest.card, card),
        limits=LIMITS,
    )


async def known_versions(store: PersonaStore, slug: str) -> list[PersonaVersion]:
    """Return a persona's versions, newest first; 404 without one."""
    try:
        return await store.versions(slug)
    except UnknownPersona as error:
        raise HTTPException(404, str(error)) from None
    except CardError as error:
        raise HTTPException(500, str(error)) from None


def chosen(versions: list[PersonaVersion], number: int) -> PersonaVersion:
    """Return the version of this number; 404 without one."""
    for version in versions:
        if version.number == number:
            return version
    raise HTTPException(404, f"This persona has no version {number}.")


def _text(value: object) -> str:
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""
