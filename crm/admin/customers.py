"""The console's pages of customers: the list, one customer, what an agent is told of them, and changing that.

Numbers and names travel in the body of a POST only, as in ``crm.admin.search``: the address of a search holds a mark
by which the session knows what was looked for, so that it can be paged and reloaded.
"""

import asyncio
from dataclasses import dataclass, fields
from secrets import token_hex
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData
from starlette.responses import Response

from crm.admin import customer_imports
from crm.admin.words import masked
from crm.call import Call, CallFilter
from crm.customer import LONGEST_NAME, Customer, customer
from crm.customers import Customers
from crm.errors import BadCursor, BadCustomer, CustomerChanged, NumberTaken, UnknownCall, UnknownCustomer
from crm.phone_numbers import e164, readable
from crm.store import CallStore
from personas.admin.access import ANALYST, EDITOR
from personas.admin.rendering import Pages
from personas.admin.section import Section
from personas.errors import BadNumber, PersonaError
from personas.prompt import MOST_PROFILE_BYTES, render_role_prompt
from personas.store import PersonaStore

PATH = "/customers"
PAGE_LENGTH = 50
LIMITS = {"name": LONGEST_NAME, "profile": MOST_PROFILE_BYTES}
NOT_WHOLE = "A number is looked for whole, with its country code, e.g. +49 30 1234567 or 0049 30 1234567."
NO_NUMBER = "No customer has this number."
_KEPT_SEARCHES, _LONGEST_SEARCH = 4, 50  # in a cookie, which has 4 096 bytes at most
_NOT_THERE = "Nothing is known of this customer any more: somebody removed them."
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


@dataclass(frozen=True, slots=True)
class Typed:
    """The form as it was typed; ``id`` is empty for a new customer, ``base`` tells what state it was made from."""

    id: str = ""
    base: str = ""
    numbers: str = ""
    name: str = ""
    profile: str = ""

    @staticmethod
    def of(known: Customer) -> "Typed":
        return Typed(str(known.id), known.base, "\n".join(known.numbers), known.name, known.profile)


def section(customers: Customers, calls: CallStore, personas: PersonaStore) -> Section:
    """Return the section "Customers"."""
    router, pages = APIRouter(), Pages("crm")
    _list_pages(router, pages, customers)
    _form_pages(router, pages, customers, calls)
    customer_imports.add_routes(router, pages, PATH, customers)
    _one_page(router, pages, customers, calls, personas)
    return Section("Customers", PATH, "address-book", router, customer_imports.LARGEST_FORM_BYTES)


def _list_pages(router: APIRouter, pages: Pages, customers: Customers) -> None:
    async def page(request: Request, sought: str = "", why: str = "", after: int = 0, mark: str = "") -> Response:
        name = "" if why else sought
        try:
            found = await customers.page(limit=PAGE_LENGTH, after=after, name=name)
        except BadCursor as error:
            raise HTTPException(400, str(error)) from None
        address = f"{PATH}?found={mark}&" if mark else f"{PATH}?"
        values = {"page": found, "count": await customers.count(), "sought": sought, "why": why, "name": name}
        values |= {"is_first": not after, "address": address, "masked": masked}
        return await pages(request, "customers.html", status=422 if why else 200, active=PATH, **values)

    @router.get(PATH, dependencies=ANALYST)
    async def listed(
        request: Request, after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0, found: str = ""
    ) -> Response:
        sought = dict(request.session.get("customers", ())).get(found, "")
        if found and not sought:
            return RedirectResponse(PATH, 303)  # too long ago, or another's address
        return await page(request, sought, after=after, mark=found if sought else "")

    @router.post(PATH + "/search", dependencies=ANALYST)
    async def search(request: Request) -> Response:
        given = (await request.form()).get("sought")
        sought = readable(given) if isinstance(given, str) else ""
        if not any(each.isalpha() for each in sought.removeprefix("tel:")):
            return await by_number(request, sought) if sought else RedirectResponse(PATH, 303)
        mark, kept = token_hex(4), request.session.get("customers", [])
        request.session["customers"] = [*kept, (mark, sought[:_LONGEST_SEARCH])][-_KEPT_SEARCHES:]
        return RedirectResponse(f"{PATH}?found={mark}", 303)

    async def by_number(request: Request, sought: str) -> Response:
        try:
            known = await customers.by_number(e164(sought))
        except BadNumber:
            return await page(request, sought, NOT_WHOLE)
        return RedirectResponse(f"{PATH}/{known.id}", 303) if known else await page(request, sought, NO_NUMBER)


def _one_page(router: APIRouter, pages: Pages, customers: Customers, calls: CallStore, personas: PersonaStore) -> None:
    @router.get(PATH + "/{id}", dependencies=ANALYST)
    async def one(request: Request, id: Id, persona: str = "") -> Response:
        known = await _known(customers, id)
        latest = [(number, await _latest_call(calls, number)) for number in known.numbers]
        titles = {each.slug: each.title for each in await personas.personas() if each.published_number}
        values: dict[str, Any] = {"customer": known, "latest": latest, "personas": titles, "masked": masked}
        values |= {"persona": persona if persona in titles else "", "role_prompt": ""}
        if values["persona"]:
            values["role_prompt"] = await _role_prompt(personas, persona, known)
        return await pages(request, "customer.html", active=PATH, **values)

    @router.post(PATH + "/{id}/remove", dependencies=EDITOR)
    async def remove(request: Request, id: Id) -> Response:
        base = _typed(await request.form()).base
        try:
            await customers.by(request.state.user.actor).remove(id, base=base)
        except UnknownCustomer:
            return RedirectResponse(PATH, 303)  # somebody was quicker
        except CustomerChanged:
            text = "Somebody else changed this customer since you opened the page. Go back, reload and look again."
            raise HTTPException(409, text) from None
        return RedirectResponse(PATH, 303)


def _form_pages(router: APIRouter, pages: Pages, customers: Customers, calls: CallStore) -> None:
    @router.get(PATH + "/new", dependencies=EDITOR)
    async def new(request: Request, call: str = "") -> Response:
        """Show an empty form, or one with the number of a call's caller."""
        return await _form(pages, request, Typed(numbers=await _caller(calls, call) if call else ""))

    @router.get(PATH + "/{id}/edit", dependencies=EDITOR)
    async def edit(request: Request, id: Id) -> Response:
        return await _form(pages, request, Typed.of(await _known(customers, id)))

    @router.post(PATH, dependencies=EDITOR)
    async def save(request: Request) -> Response:
        typed = _typed(await request.form())
        try:
            wanted = customer(typed.numbers, typed.name, typed.profile, _id(typed.id))
            saved = await customers.by(request.state.user.actor).save(wanted, base=typed.base)
        except BadCustomer as error:
            return await _form(
                pages, request, typed, wrong=error.field, problem=f"{error.field.capitalize()} {error.problem}."
            )
        except NumberTaken as error:
            theirs = await _known(customers, error.customer_id)
            return await _form(pages, request, typed, wrong="numbers", problem=str(error), taken_by=theirs)
        except UnknownCustomer:
            lost = Typed("", "", typed.numbers, typed.name, typed.profile)
            return await _form(pages, request, lost, problem=f"{_NOT_THERE} Saving makes them a customer again.")
        except CustomerChanged:
            return await _both(pages, request, customers, typed)
        return RedirectResponse(f"{PATH}/{saved.id}", 303)


async def _form(pages: Pages, request: Request, typed: Typed, **values: object) -> Response:
    """Show the form, with ``problem`` of the field ``wrong``, and who else has the number or ``theirs``."""
    known = {"problem": "", "wrong": "", "taken_by": None, "theirs": None, "limits": LIMITS} | values
    status = 422 if known["problem"] else 200
    return await pages(request, "customer_edit.html", status=status, active=PATH, typed=typed, **known)


async def _both(pages: Pages, request: Request, customers: Customers, typed: Typed) -> Response:
    """Show what somebody else saved beside what this form brought; saving again replaces what is shown."""
    theirs = await _known(customers, _id(typed.id))
    mine = Typed(typed.id, theirs.base, typed.numbers, typed.name, typed.profile)
    problem = "Somebody else saved this customer meanwhile. Bring over what you want to keep of theirs, then save."
    return await _form(pages, request, mine, problem=problem, theirs=Typed.of(theirs))


async def _known(customers: Customers, id: int) -> Customer:
    try:
        return await customers.customer(id)
    except UnknownCustomer as error:
        raise HTTPException(404, str(error)) from None


async def _latest_call(calls: CallStore, number: str) -> Call | None:
    page = await calls.calls(limit=1, where=CallFilter(caller=number))
    return page.calls[0].call if page.calls else None


async def _caller(calls: CallStore, call_id: str) -> str:
    try:
        return (await calls.call(call_id)).from_number
    except UnknownCall as error:
        raise HTTPException(404, str(error)) from None


async def _role_prompt(personas: PersonaStore, slug: str, known: Customer) -> str:
    try:
        card = (await personas.published(slug)).card
    except PersonaError as error:
        raise HTTPException(409, str(error)) from None
    return await asyncio.to_thread(render_role_prompt, card, known.profile, customer_name=known.name)


def _typed(form: FormData) -> Typed:
    given = {field.name: form.get(field.name) for field in fields(Typed)}
    return Typed(**{name: value for name, value in given.items() if isinstance(value, str)})


def _id(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:11]) < 2**31):
        raise HTTPException(404, _NOT_THERE)
    return int(text)
