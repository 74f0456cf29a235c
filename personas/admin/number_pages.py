"""The console's page of phone numbers: which persona answers each, what happens where it can't, and changing that."""

from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData
from starlette.responses import Response

from personas.admin.access import EDITOR
from personas.admin.rendering import Pages
from personas.admin.section import Section
from personas.errors import BadNumber, BadNumberSetting, NumberChanged, PersonaError, UnknownNumber
from personas.numbers import (
    LONGEST_WAIT_S,
    MESSAGE,
    ON_FULL,
    OPEN,
    VOICEMAIL,
    NumberSettings,
    OnFull,
    check_number,
    settings_hash,
)
from personas.store import PersonaStore

PATH = "/numbers"
FULL = {"busy": "a sentence, then the line closes", "wait": "ringing until a line is free", "human": "the human"}
CLOSED = {OPEN: "the persona, as ever", VOICEMAIL: "voicemail", MESSAGE: "a sentence, then the line closes"}


@dataclass(frozen=True, slots=True)
class Typed:
    """The form as it was typed; ``base`` tells which state of the number it was made from, "" of none."""

    number: str = ""
    persona_slug: str = ""
    human_number: str = ""
    on_full: str = "busy"
    wait_limit_s: str = "120"
    hours: str = ""
    timezone: str = ""
    out_of_hours: str = OPEN
    queue_name: str = ""
    base: str = ""

    def settings(self) -> NumberSettings:
        """Return what was typed; that it can be used is the store's to check.

        Raises:
            BadNumber, BadNumberSetting: a number is none.
        """
        if not self.wait_limit_s.isascii() or not self.wait_limit_s.isdigit() or len(self.wait_limit_s) > 4:
            raise BadNumberSetting(f"The wait limit is 5 to {LONGEST_WAIT_S} seconds.", "wait_limit_s")
        if self.on_full not in ON_FULL:
            raise BadNumberSetting("Choose what callers meet when all lines are taken.", "on_full")
        if not self.persona_slug:
            raise BadNumberSetting("Choose a persona.", "persona_slug")
        return NumberSettings(
            number=check_number(self.number),
            persona_slug=self.persona_slug,
            human_number=check_number(self.human_number, "human_number") if self.human_number else "",
            on_full=cast(OnFull, self.on_full),
            wait_limit_s=int(self.wait_limit_s),
            hours=self.hours,
            timezone=self.timezone,
            out_of_hours=self.out_of_hours,
            queue_name=self.queue_name,
        )


def section(store: PersonaStore) -> Section:
    """Return the section "Numbers"."""
    router, pages = APIRouter(), Pages("personas")

    @router.get(PATH, dependencies=EDITOR)
    async def listed(request: Request, edit: str = "") -> Response:
        if not edit:
            return await _page(pages, request, store, Typed())
        known = await store.number_settings(edit)
        if known is None:
            raise HTTPException(404, "No persona answers this number.")
        typed = Typed(**{name: str(value) for name, value in asdict(known).items()}, base=settings_hash(known))
        return await _page(pages, request, store, typed)

    @router.post(PATH, dependencies=EDITOR)
    async def save(request: Request) -> Response:
        typed = _typed(await request.form())
        try:
            await store.by(request.state.user.actor).save_number(typed.settings(), base=typed.base)
        except PersonaError as error:
            return await _page(pages, request, store, typed, error)
        return RedirectResponse(PATH, 303)

    @router.post(PATH + "/clear", dependencies=EDITOR)
    async def clear(request: Request) -> Response:
        typed = _typed(await request.form())
        try:
            await store.by(request.state.user.actor).clear_number(check_number(typed.number), base=typed.base)
        except (BadNumber, UnknownNumber) as error:
            raise HTTPException(404, str(error)) from None
        except NumberChanged:
            text = "Somebody else changed this number since you opened the page. Go back, reload and look again."
            raise HTTPException(409, text) from None
        return RedirectResponse(PATH, 303)

    return Section("Numbers", PATH, "hash", router)


_CHANGED = (
    "Somebody else changed this number since you opened the page: what it is set to now stands in the table. "
    "What you typed is still below; open the number again and carry over what you need."
)
_THERE = "This number is set already; choose Change beside it in the table."


async def _page(
    pages: Pages, request: Request, store: PersonaStore, typed: Typed, error: PersonaError | None = None
) -> Response:
    """Show the numbers and the form; with ``error`` as it was typed, and what is wrong at its field."""
    personas = {persona.slug: persona for persona in await store.personas()}
    wrong, problem = "", str(error or "")
    if isinstance(error, NumberChanged):
        problem = _CHANGED if typed.base else _THERE
    elif isinstance(error, BadNumberSetting):
        wrong = error.field
    elif error:  # a persona that is gone, or was put away
        wrong = "out_of_hours" if typed.persona_slug in personas else "persona_slug"
    values: dict[str, Any] = {
        "numbers": [(each, personas[each.persona_slug]) for each in await store.numbers()],
        "personas": {slug: persona.title for slug, persona in personas.items()},
        "typed": typed,
        "problem": problem,
        "wrong": wrong,
        "full": FULL,
        "closed": CLOSED,
        "longest_wait_s": LONGEST_WAIT_S,
    }
    return await pages(request, "numbers.html", status=422 if problem else 200, active=PATH, **values)


def _typed(form: FormData) -> Typed:
    given = {field.name: form.get(field.name) for field in fields(Typed)}
    return Typed(**{name: value.strip() for name, value in given.items() if isinstance(value, str)})
