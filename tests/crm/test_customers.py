"""Customers on real databases of both kinds: found by number, listed by name, never replaced unseen."""

import asyncio

import pytest

from crm.customer import Customer, customer, name_key
from crm.customers import CustomerPage, Customers, Done, Put
from crm.errors import BadCursor, BadCustomer, CustomerChanged, NumberTaken, UnknownCustomer
from personas.audit import Action, Actor, AuditLog, Subject, command_line
from personas.db import Database
from personas.prompt import MOST_PROFILE_BYTES

ADA, BOB = ("+4930123456", "+4917012345"), ("+12025550143",)


@pytest.fixture
def customers(database: Database) -> Customers:
    return Customers(database)


def names(page: CustomerPage) -> list[str]:
    return [each.name for each in page.customers]


@pytest.mark.parametrize(
    ("field", "given", "why"),
    [
        ("numbers", {"numbers": ""}, "none; give 1 to 10"),
        ("numbers", {"numbers": "030 123456"}, "with country code"),
        ("numbers", {"numbers": "\n".join(f"+49301234{n:02}" for n in range(11))}, "there are 11"),
        ("name", {"name": "x" * 201}, "201 characters"),
        ("name", {"name": "a\0b"}, r"U\+0000"),
        ("name", {"name": " \t", "profile": "\n"}, "so is the profile"),
        ("profile", {"profile": "x" * (MOST_PROFILE_BYTES + 7)}, f"has {MOST_PROFILE_BYTES + 7} bytes"),
        ("profile", {"profile": "\ufdfa" * 30}, "has 990 bytes"),  # one character that a table of pieces reads as 18
        ("profile", {"profile": "a\ud800b"}, r"U\+D800"),
    ],
)
def test_what_cannot_be_kept_is_told_with_its_field(field: str, given: dict[str, str], why: str) -> None:
    typed = {"numbers": "+4930123456", "name": "Ada", "profile": ""} | given
    with pytest.raises(BadCustomer, match=why) as told:
        customer(typed["numbers"], typed["name"], typed["profile"])
    assert told.value.field == field


def test_a_customer_is_read_as_people_type_one() -> None:
    typed = customer("0049 30 / 123456\n+49 (0)30 123-456; +1 (202) 555-0143", "  Ada\n Lovelace ", " Two\r\nlines. ")
    assert typed == Customer(("+4930123456", "+12025550143"), "Ada Lovelace", "Two\nlines.")
    assert name_key("Åsa MÜLLER-Weiß") == name_key("asa muller-weiss")


async def test_a_customer_is_found_by_each_of_their_numbers(customers: Customers) -> None:
    saved = await customers.save(Customer(ADA, "Ada", "Prefers mornings."))
    for number in ADA:
        assert await customers.by_number(number) == saved
    assert await customers.by_number("+4930123457") is None
    moved = await customers.save(Customer(ADA[1:], "Ada L.", "Prefers evenings.", saved.id), base=saved.base)
    assert await customers.by_number(ADA[0]) is None
    assert await customers.by_number(ADA[1]) == moved
    assert await customers.remove(saved.id, base=moved.base) == moved
    assert (await customers.by_number(ADA[1]), await customers.count()) == (None, 0)
    with pytest.raises(UnknownCustomer):
        await customers.remove(saved.id)


async def test_what_somebody_else_saved_is_not_replaced_unseen(customers: Customers) -> None:
    seen = await customers.save(Customer(ADA, "Ada"))
    theirs = await customers.save(Customer(ADA, "Ada", "New.", seen.id), base=seen.base)
    with pytest.raises(CustomerChanged):
        await customers.save(Customer(ADA, "Ada", "Mine.", seen.id), base=seen.base)
    with pytest.raises(CustomerChanged):
        await customers.remove(seen.id, base=seen.base)
    again = await customers.save(Customer(ADA, "Ada", "New.", seen.id), base=seen.base)  # the same: no conflict
    assert again.base == theirs.base
    await customers.remove(seen.id)
    with pytest.raises(UnknownCustomer):
        await customers.save(Customer(ADA, "Ada", "Mine.", seen.id), base=theirs.base)


async def test_a_number_has_one_owner(customers: Customers) -> None:
    ada, bob = await customers.save(Customer(ADA, "Ada")), await customers.save(Customer(BOB, "Bob"))
    with pytest.raises(NumberTaken) as taken:
        await customers.save(Customer((*BOB, ADA[1]), "Bob", "", bob.id), base=bob.base)
    assert taken.value.customer_id == ada.id
    assert await customers.customer(bob.id) == bob


async def test_of_two_who_save_at_once_one_is_told(customers: Customers) -> None:
    new = await asyncio.gather(*(customers.save(Customer(ADA, f"Ada {n}")) for n in range(4)), return_exceptions=True)
    assert sum(isinstance(each, NumberTaken) for each in new) == 3
    seen = next(each for each in new if isinstance(each, Customer))
    changes = (Customer(ADA, f"Ada {n}", "", seen.id) for n in range(10, 14))
    saved = await asyncio.gather(*(customers.save(each, base=seen.base) for each in changes), return_exceptions=True)
    assert sum(isinstance(each, CustomerChanged) for each in saved) == 3


async def test_pages_hold_every_customer_once_by_name(customers: Customers) -> None:
    given = ["zoe", "Åsa", "Zoë", "", "adam", "ASA", "100%", "under_score"]
    for place, name in enumerate(given):
        await customers.save(Customer((f"+49301234{place:02}",), name, "known"))
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await customers.page(limit=3, after=after)
        seen, after = seen + names(page), page.after
    assert sorted(seen) == sorted(given)
    assert [name_key(name) for name in seen] == sorted(map(name_key, given))
    assert [each.name async for each in customers.every(chunk=2)] == seen
    assert names(await customers.page(limit=9, name="asa")) == ["Åsa", "ASA"]
    assert names(await customers.page(limit=9, name="%")) == ["100%"]
    assert names(await customers.page(limit=9, name="R_S")) == ["under_score"]
    with pytest.raises(BadCursor):
        await customers.page(limit=3, after=999)


async def test_a_file_of_customers_is_put_in_one_go(customers: Customers) -> None:
    ada, bob = await customers.save(Customer(ADA, "Ada", "Old.")), await customers.save(Customer(BOB, "Bob"))
    puts = [
        Put(("+4930777777",), "New", ""),
        Put((ADA[0], "+4930888888"), profile="New."),
        Put(BOB, "Bob", ""),
    ]
    done = [Done("new"), Done("changed", ada.id), Done("unchanged", bob.id)]
    assert await customers.put(puts, write=False) == done
    assert await customers.customer(ada.id) == ada
    assert await customers.put(puts, write=True) == done
    changed = await customers.customer(ada.id)
    assert (changed.numbers, changed.name, changed.profile) == ((ADA[0], "+4930888888"), "Ada", "New.")
    assert (await customers.customer(bob.id)).updated_at == bob.updated_at
    assert await customers.put([Put((BOB[0], ADA[0]), "Both")], write=True) == [Done("of_two")]
    assert await customers.count() == 3


async def test_changes_are_written_down_with_who_made_them_and_nothing_of_the_customer(
    customers: Customers, database: Database
) -> None:
    anns = customers.by(Actor("ann", "7"))
    ada = await anns.save(Customer(ADA, "Ada", "Pays late."))
    await anns.save(ada, base=ada.base)  # which changes nothing
    await customers.by(command_line()).save(Customer(ADA, "Ada L.", "", ada.id))
    with pytest.raises(CustomerChanged):
        await anns.remove(ada.id, base=ada.base)
    await anns.remove(ada.id)
    entries = (await AuditLog(database).entries()).entries
    me, subject = command_line().name, Subject("customer", str(ada.id), f"Customer {ada.id}")
    assert [(each.actor.name, each.action, each.subject, each.detail) for each in reversed(entries)] == [
        ("ann", Action.CUSTOMER_SAVED, subject, "new"),
        (me, Action.CUSTOMER_SAVED, subject, ""),
        ("ann", Action.CUSTOMER_REMOVED, subject, ""),
    ]
