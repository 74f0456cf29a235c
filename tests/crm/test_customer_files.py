"""Files of customers as spreadsheets write them, and their import: all good rows, or none."""

import io
from pathlib import Path

import pytest

from crm import customer_import
from crm.customer import Customer
from crm.customer_files import CustomerFile, head, row
from crm.customer_import import Report, import_customers
from crm.customers import Customers, Put
from crm.errors import BadCustomerFile
from personas.db import Database

EXCEL = (
    "\ufeffNumbers;NAME;Kunde seit;Profile\r\n"
    '"+49 30 1234567, 0049 170 1234567";Ada Lovelace;2019;"Has the ""large"" machine;\r\nprefers mornings."\r\n'
    ";;;\r\n"
    "\r\n"
    "+1 (202) 555-0143;Bob;2020;\r\n"
).encode()


@pytest.fixture
def customers(database: Database) -> Customers:
    return Customers(database)


async def imported(customers: Customers, content: bytes | str, *, write: bool = True, skip_bad: bool = False) -> Report:
    file = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return await import_customers(customers, file, write=write, skip_bad=skip_bad, chunk=2)


def problems(report: Report) -> list[tuple[int, str]]:
    return [(bad.line, bad.field) for bad in report.bad]


def test_a_file_is_read_as_spreadsheets_of_europe_write_it() -> None:
    file = CustomerFile(io.BytesIO(EXCEL))
    assert file.ignored == ("Kunde seit",)
    assert list(file.rows()) == [
        (2, Put(("+49301234567", "+491701234567"), "Ada Lovelace", 'Has the "large" machine;\nprefers mornings.')),
        (6, Put(("+12025550143",), "Bob", "")),
    ]


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_an_exported_file_is_read_back_as_it_was(between: str) -> None:
    known = Customer(("+49301234567", "+491701234567"), "=SUM(A1)", "-1 day;\nsays \"hi\", 'o\u2019clock'\t@home")
    content = head(between) + row(known, between)
    assert content.startswith("\ufeffnumbers"), "the mark by which Excel knows UTF-8"
    assert "'=SUM" in content
    ((_, put),) = CustomerFile(io.BytesIO(content.encode())).rows()
    assert put == Put(known.numbers, known.name, known.profile)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Line 1 names no column"),
        (b"phone;name\n+4930123456;x\n", "Line 1 names no column"),
        ("numbers;name\n".encode("utf-16"), "not UTF-8"),
        (b"n\xfcmbers;name\n", "not UTF-8"),
        (b"numbers,number,name\n", "twice"),
        (b'numbers,name\n+4930123456,"Ada\n+4930123457,Bob\n', "begins on line 2 .*quotation marks"),
        (b'numbers,name\n+4930123456,"Ada"x\n', "begins on line 2"),
    ],
)
async def test_a_file_that_is_none_is_told_so(content: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(BadCustomerFile, match=why):
        list(CustomerFile(io.BytesIO(content)).rows())


async def test_an_import_adds_changes_and_is_harmless_twice(customers: Customers) -> None:
    await customers.save(Customer(("+12025550143",), "Robert", "Old."))
    looked = await imported(customers, EXCEL, write=False)
    assert (looked.rows, looked.counts) == (2, {"new": 1, "changed": 1, "unchanged": 0})
    assert await customers.count() == 1
    report = await imported(customers, EXCEL)
    assert (report.counts, report.is_written) == (looked.counts, True)
    bob = await customers.by_number("+12025550143")
    assert bob is not None
    assert (bob.name, bob.profile) == ("Bob", "")
    assert (await imported(customers, EXCEL)).counts == {"new": 0, "changed": 0, "unchanged": 2}
    assert (await imported(customers, "number\n+12025550143\n")).counts["unchanged"] == 1, "no column, no change"


BAD = (
    "numbers,name,profile\n"
    "+4930000001,Ada,\n"
    "030 1,Bob,\n"
    f"+4930000002,{'x' * 201},\n"
    f"+4930000003,Cyd,{'x' * 900}\n"
    "+4930000004,Dan\n"
    "+4930000001,Eve,\n"
    "+4930000005,,\n"
    "+4930000006,Fay,\n"
).encode() + b"+4930000007,J\xfcrgen,\n"


async def test_one_bad_row_keeps_all_from_being_written_unless_they_are_left_out(customers: Customers) -> None:
    told = [(3, "numbers"), (4, "name"), (5, "profile"), (6, "row"), (7, "numbers"), (8, "name"), (10, "row")]
    report = await imported(customers, BAD)
    assert problems(report) == told
    assert "the row of line 2" in report.bad[4].problem
    assert "UTF-8" in report.bad[6].problem
    assert not report.is_written
    assert await customers.count() == 0
    report = await imported(customers, BAD, skip_bad=True)
    assert (problems(report), report.counts["new"], report.is_written) == (told, 2, True)
    assert await customers.count() == 2


async def test_rows_that_mean_two_customers_or_one_twice_are_bad(customers: Customers) -> None:
    await customers.save(Customer(("+4930000001", "+4930000002"), "Ada"))
    await customers.save(Customer(("+4930000003",), "Bob"))
    rows = ("+4930000001,Ada L.", '"+4930000002,+4930000003",Both', "+4930000009,Cyd", "+4930000002,Ada too", "1,x")
    report = await imported(customers, "\n".join(("numbers,name", *rows)), skip_bad=True)
    assert problems(report) == [(3, "numbers"), (5, "numbers"), (6, "numbers")]
    assert {each.name async for each in customers.every()} == {"Ada L.", "Bob", "Cyd"}


async def test_two_rows_of_one_customer_are_told(customers: Customers) -> None:
    await customers.save(Customer(("+4930000001", "+4930000002"), "Ada"))
    report = await imported(customers, "numbers,name\n+4930000001,Ada\n+4930000009,Cyd\n+4930000002,Ada too\n")
    assert problems(report) == [(4, "numbers")]
    assert "line 2" in report.bad[0].problem
    assert not report.is_written


async def test_a_report_names_the_first_bad_rows_and_counts_them_all(
    customers: Customers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(customer_import, "SHOWN", 3)
    report = await imported(customers, "numbers,name\n" + "1,x\n" * 10)
    assert (len(report.bad), report.bad_count) == (3, 10)
