"""The store of customers: found by the number that calls, listed by name, saved by whoever has seen the latest.

Who writes locks all customers first, on SQLite by taking the one write lock: of two who save at once the second sees
what the first did, and a number never belongs to two.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, delete, false, func, insert, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from crm.customer import Customer, name_key
from crm.errors import BadCursor, CustomerChanged, NumberTaken, UnknownCustomer
from crm.tables import CustomerNumberRow, CustomerRow
from personas.audit import PARLEY, Action, Actor, Subject, note
from personas.db import Database

PutOutcome = Literal["new", "changed", "unchanged", "of_two"]


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """Customers by name. Pass ``after`` to get the page that follows; None on the last one."""

    customers: tuple[Customer, ...]
    after: int | None


@dataclass(frozen=True, slots=True)
class Put:
    """What a customer is to be from now on, found by their numbers; None leaves what is known."""

    numbers: tuple[str, ...]
    name: str | None = None
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What a ``Put`` did, or would do, to the customer ``customer_id``, 0 for a new one.

    ``of_two`` changes nothing: the numbers belong to two customers.
    """

    outcome: PutOutcome
    customer_id: int = 0


class Customers:
    """All queries on customers. Every method is one transaction, but ``every``.

    ``actor`` is whose changes the audit log records: of a customer the id alone.
    """

    def __init__(self, database: Database, actor: Actor = PARLEY) -> None:
        self._database = database
        self._actor = actor

    def by(self, actor: Actor) -> "Customers":
        """Return the same store, in the hands of ``actor``."""
        return Customers(self._database, actor)

    async def by_number(self, number: str) -> Customer | None:
        """Return who calls from an E.164 number, if known."""
        owner = select(CustomerNumberRow.customer_id).where(CustomerNumberRow.number == number)
        async with self._database.session() as session:
            return next(iter(await _read(session, CustomerRow.id == owner.scalar_subquery())), None)

    async def customer(self, id: int) -> Customer:
        """Return one customer; raises UnknownCustomer."""
        async with self._database.session() as session:
            return await _known(session, id)

    async def count(self) -> int:
        """Return how many customers there are."""
        async with self._database.session() as session:
            return await session.scalar(select(func.count()).select_from(CustomerRow)) or 0

    async def page(self, *, limit: int, after: int = 0, name: str = "") -> CustomerPage:
        """Return customers by name, those whose name holds ``name``; pages begin after the customer ``after``.

        Raises:
            BadCursor: that customer is not there any more.
        """
        key = CustomerRow.name_key, CustomerRow.id
        where: list[ColumnElement[bool]] = []
        if name:
            where.append(CustomerRow.name_key.contains(name_key(name), autoescape=True))
        async with self._database.session() as session:
            if after:
                last = (await session.execute(select(*key).where(CustomerRow.id == after))).one_or_none()
                if last is None:
                    raise BadCursor("This page of customers cannot be found; start again from the first page.")
                where.append(tuple_(*key) > tuple_(*last))
            found = await _read(session, *where, limit=limit + 1)
        return CustomerPage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

    async def every(self, chunk: int = 500) -> AsyncIterator[Customer]:
        """Yield all customers by name, ``chunk`` in a query; who is added or renamed meanwhile may be missed."""
        after: int | None = 0
        while after is not None:
            page = await self.page(limit=chunk, after=after)
            for each in page.customers:
                yield each
            after = page.after

    async def save(self, customer: Customer, *, base: str | None = None) -> Customer:
        """Keep a customer: a new one where the id is 0, else in place of what is known under it.

        Args:
            base: ``Customer.base`` of the state that the writer has seen. None replaces whatever is there.

        Raises:
            UnknownCustomer: there is none with this id (any more).
            CustomerChanged: they are in another state than ``base``, and than what is being saved.
            NumberTaken: a number belongs to another customer.
        """
        async with self._database.session() as session:
            await _lock(session)
            if customer.id:
                found = await _known(session, customer.id)
                if found.base == customer.base:
                    return found
                if base is not None and found.base != base:
                    raise CustomerChanged("Somebody else changed this customer meanwhile; look at them again.")
            for owner in (await _owners(session, customer.numbers)).values():
                if owner.id != customer.id:
                    raise NumberTaken(owner.id)
            (id,) = await _write(session, [customer])
            self._note(session, Action.CUSTOMER_SAVED, id, "" if customer.id else "new")
            return await _known(session, id)

    async def remove(self, id: int, *, base: str | None = None) -> Customer:
        """Forget a customer, and return who it was; calls keep what their agent was told. ``base`` as in ``save``.

        Raises:
            UnknownCustomer, CustomerChanged: as in ``save``.
        """
        async with self._database.session() as session:
            await _lock(session)
            found = await _known(session, id)
            if base is not None and found.base != base:
                raise CustomerChanged("Somebody else changed this customer meanwhile; look at them again.")
            await session.execute(delete(CustomerRow).where(CustomerRow.id == id))
            self._note(session, Action.CUSTOMER_REMOVED, id)
            return found

    async def put(self, puts: Sequence[Put], *, write: bool) -> list[Done]:
        """Add or change customers in one go, those whose numbers don't belong to two; tell what became of each.

        No number and no known customer may be meant by two of ``puts``. Without ``write`` nothing is changed.
        """
        async with self._database.session() as session:
            if write:
                await _lock(session)
            owners = await _owners(session, [number for put in puts for number in put.numbers])
            plans = [_plan(put, owners) for put in puts]
            if write:
                await _write(session, [wanted for done, wanted in plans if done.outcome in ("new", "changed")])
            return [done for done, _ in plans]

    async def note(self, action: Action, detail: str) -> None:
        """Write down what was done with many customers."""
        async with self._database.session() as session:
            note(session, self._actor, action, Subject("customers", ""), detail)

    def _note(self, session: AsyncSession, action: Action, id: int, detail: str = "") -> None:
        note(session, self._actor, action, Subject("customer", str(id), f"Customer {id}"), detail)


def _plan(put: Put, owners: dict[str, Customer]) -> tuple[Done, Customer]:
    """Return what is to be done, and who the customer is then."""
    theirs = {owner.id: owner for number in put.numbers if (owner := owners.get(number))}
    if len(theirs) > 1:
        return Done("of_two"), Customer(put.numbers)
    known = next(iter(theirs.values()), Customer(()))
    name = known.name if put.name is None else put.name
    profile = known.profile if put.profile is None else put.profile
    wanted = replace(known, numbers=put.numbers, name=name, profile=profile)
    if not known.id:
        return Done("new"), wanted
    return Done("unchanged" if wanted.base == known.base else "changed", known.id), wanted


async def _lock(session: AsyncSession) -> None:
    """Let nobody else change customers until the transaction ends; who reads them goes on."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("LOCK TABLE customers IN SHARE ROW EXCLUSIVE MODE"))
    else:  # a write, if of nothing: SQLite has one writer
        await session.execute(update(CustomerRow).where(false()).values(name=""))


async def _known(session: AsyncSession, id: int) -> Customer:
    found = await _read(session, CustomerRow.id == id)
    if not found:
        raise UnknownCustomer("There is no such customer any more.")
    return found[0]


async def _read(session: AsyncSession, *where: ColumnElement[bool], limit: int | None = None) -> list[Customer]:
    """Return customers by name, with their numbers."""
    order = CustomerRow.name_key, CustomerRow.id
    rows = list(await session.scalars(select(CustomerRow).where(*where).order_by(*order).limit(limit)))
    numbers: dict[int, list[str]] = {row.id: [] for row in rows}
    query = select(CustomerNumberRow).where(CustomerNumberRow.customer_id.in_(numbers))
    for row in await session.scalars(query.order_by(CustomerNumberRow.place)):
        numbers[row.customer_id].append(row.number)
    return [Customer(tuple(numbers[row.id]), row.name, row.profile, row.id, row.updated_at) for row in rows]


async def _owners(session: AsyncSession, numbers: Collection[str]) -> dict[str, Customer]:
    """Return who has which of these numbers."""
    ids = select(CustomerNumberRow.customer_id).where(CustomerNumberRow.number.in_(numbers))
    return {number: owner for owner in await _read(session, CustomerRow.id.in_(ids)) for number in owner.numbers}


async def _write(session: AsyncSession, customers: Iterable[Customer]) -> list[int]:
    """Write customers with all their numbers; return their ids, the new ones' first."""
    new, old = [], []
    for each in customers:
        (old if each.id else new).append(each)
    ids: list[int] = []
    if new:
        made = insert(CustomerRow).returning(CustomerRow.id, sort_by_parameter_order=True)
        ids += (await session.scalars(made, [_columns(each) for each in new])).all()
    if old:
        ids += [each.id for each in old]
        await session.execute(update(CustomerRow), [_columns(each) | {"id": each.id} for each in old])
        theirs = CustomerNumberRow.customer_id.in_(each.id for each in old)
        await session.execute(delete(CustomerNumberRow).where(theirs))
    numbers = [
        {"number": number, "customer_id": id, "place": place}
        for id, each in zip(ids, (*new, *old), strict=True)
        for place, number in enumerate(each.numbers)
    ]
    if numbers:
        await session.execute(insert(CustomerNumberRow), numbers)
    return ids


def _columns(customer: Customer) -> dict[str, Any]:
    return {
        "name": customer.name,
        "name_key": name_key(customer.name),
        "profile": customer.profile,
        "updated_at": datetime.now(UTC),
    }
