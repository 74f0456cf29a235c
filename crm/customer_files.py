"""Customers in CSV files, as spreadsheets and other systems write and read them.

numbers;name;profile
+49 30 1234567, 0049 170 1234567;Ada Lovelace;"Has the large machine.
Prefers mornings."
"""

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from crm.customer import Customer, read_name, read_numbers, read_profile
from crm.customers import Put
from crm.errors import BadCustomer, BadCustomerFile
from personas.admin.csv_lines import as_written, csv_lines

COLUMNS = ("numbers", "name", "profile")
_NAMES = {name: name for name in COLUMNS} | {"number": "numbers"}
_READ = {"numbers": read_numbers, "name": read_name, "profile": read_profile}
_SAVE_AS = "save it as “CSV UTF-8”"


class CustomerFile:
    """A file open for reading: UTF-8, with or without a byte order mark; commas, semicolons or tabs between cells.

    The first line names the columns, in any order and case. ``ignored`` are those that are not COLUMNS.

    Raises:
        BadCustomerFile: it has no such line, or none of the numbers.
    """

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        # Bytes that are no UTF-8 come as halves of characters, so that their line can be told.
        text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
        self._text = text
        first = text.readline(100_000)
        if not _is_utf8(first) or "\0" in first:
            raise BadCustomerFile(f"The file is not UTF-8: {_SAVE_AS}.")
        heads = {each: [cell.strip() for cell in next(csv.reader([first], delimiter=each), [])] for each in ",;\t"}
        known = (each for each, head in heads.items() if "numbers" in map(_column, head))
        self._delimiter = next(known, "")
        if not self._delimiter:
            raise BadCustomerFile(
                "Line 1 names no column “numbers”: it must name the columns, of which name and profile may be left out."
            )
        head = heads[self._delimiter]
        self._columns = [_column(cell) for cell in head]
        twice = sorted({name for name in self._columns if name and self._columns.count(name) > 1})
        if twice:
            raise BadCustomerFile(f"Line 1 names the column “{twice[0]}” twice; keep one of them.")
        self.ignored = tuple(cell for cell, column in zip(head, self._columns, strict=True) if cell and not column)

    def rows(self) -> Iterator[tuple[int, Put | BadCustomer]]:
        """Yield the line that each row begins on, and what it says or why it can't be used; empty rows are left out.

        Raises:
            BadCustomerFile: a quotation mark is never closed, or the like: where the next row begins can't be told.
        """
        reader = csv.reader(self._text, delimiter=self._delimiter, strict=True)
        while True:
            line = reader.line_num + 2
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise BadCustomerFile(
                    f"The row that begins on line {line} can't be read ({error}); see to its quotation marks: a cell "
                    "with them is put in quotation marks, and those in it are doubled."
                ) from None
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield line, self._row(cells)

    def release(self) -> None:
        """Leave the file open for whoever opened it."""
        self._text.detach()

    def _row(self, cells: list[str]) -> Put | BadCustomer:
        if not _is_utf8("".join(cells)):
            return BadCustomer("row", f"is not UTF-8: {_SAVE_AS}")
        if len(cells) != len(self._columns):
            hint = "a cell that holds the mark between cells is put in quotation marks, empty cells are written too"
            return BadCustomer("row", f"has {len(cells)} cells, line 1 names {len(self._columns)}; {hint}")
        given = dict(zip(self._columns, map(as_written, cells), strict=True))
        try:
            put = Put(**{name: read(given[name]) for name, read in _READ.items() if name in given})
        except BadCustomer as problem:
            return problem
        is_empty = put.name == "" and put.profile == ""
        return BadCustomer("name", "is empty, and so is the profile; give one of them") if is_empty else put


def head(delimiter: str = ",") -> str:
    """Return the first line of a file, with the mark by which spreadsheets know UTF-8."""
    return "\ufeff" + csv_lines([COLUMNS], delimiter)


def row(customer: Customer, delimiter: str = ",") -> str:
    """Return a customer's row, which ``CustomerFile`` reads back as it was."""
    return csv_lines([(", ".join(customer.numbers), customer.name, customer.profile)], delimiter)


def _column(cell: str) -> str:
    return _NAMES.get(cell.casefold(), "")


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)
