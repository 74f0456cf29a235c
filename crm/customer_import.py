"""Importing customers from a file: looked through as a whole first, then written in short transactions.

file ─▶ look: every row, and what it would change ─▶ nothing, if a row is bad │ write, some rows at a time

A write holds customers for milliseconds only, so that calls beside it are answered. One that is cut off has written
its first rows; to import the file again is harmless.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from crm.customer_files import CustomerFile
from crm.customers import Customers, Done, Put
from crm.errors import BadCustomer
from personas.audit import Action

SHOWN = 100
"""Bad rows that a report names; it counts the others."""

CHUNK = 50
"""Rows that are read and written at once where calls share the event loop."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be used: the line it begins on, the field, and what is wrong with the remedy."""

    line: int
    field: str
    problem: str


@dataclass(slots=True)
class Report:
    """What an import did, or would do. ``bad`` holds the first bad rows, ``is_written`` if it was written."""

    ignored: tuple[str, ...] = ()
    rows: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {"new": 0, "changed": 0, "unchanged": 0})
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0
    is_written: bool = False


async def import_customers(
    customers: Customers,
    file: BinaryIO,
    *,
    write: bool = True,
    skip_bad: bool = False,
    chunk: int = CHUNK,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> Report:
    """Make each row's customer what the row says; of bad rows, unless ``skip_bad``, one keeps all from being written.

    ``on_bytes(n)`` hears how many bytes were read, in all of the one or two passes.

    Raises:
        BadCustomerFile: the file can't be read as rows; nothing is written.
    """
    looked = _Pass(customers, file, chunk, on_bytes)
    report = await looked.run(write=False)
    if not write or (report.bad_count and not skip_bad):
        return report
    planned = f"{report.counts['new']} new, {report.counts['changed']} changed"
    await customers.note(Action.CUSTOMERS_IMPORTED, planned)  # first, lest one that is cut off be told nowhere
    size = file.seek(0, os.SEEK_END)
    written = _Pass(customers, file, chunk, lambda count: on_bytes(size + count), skipped=looked.bad_lines)
    after = await written.run(write=True)
    report.counts, report.is_written = after.counts, True
    for bad in after.bad:  # somebody has changed customers between the passes
        _note(report, bad)
    return report


class _Pass:
    """The rows of a file, once. The lines of numbers and customers that were seen take some 20 MB for 100 000 rows."""

    def __init__(
        self,
        customers: Customers,
        file: BinaryIO,
        chunk: int,
        on_bytes: Callable[[int], None],
        skipped: Set[int] = frozenset(),
    ) -> None:
        self._customers = customers
        self._file = file
        self._chunk = chunk
        self._on_bytes = on_bytes
        self._skipped = skipped
        self._numbers: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        self._report = Report()
        self.bad_lines: set[int] = set()

    async def run(self, *, write: bool) -> Report:
        source = await asyncio.to_thread(CustomerFile, self._file)
        try:
            self._report.ignored = source.ignored
            rows = source.rows()
            while some := await asyncio.to_thread(self._next, rows):
                puts = {line: put for line, put in some if line not in self._skipped}
                done = await self._customers.put(list(puts.values()), write=write)
                for line, each in zip(puts, done, strict=True):
                    self._count(line, each)
                self._on_bytes(self._file.tell())
        finally:
            source.release()
        self._report.bad.sort(key=lambda bad: bad.line)  # within a chunk, what only the database tells came last
        return self._report

    def _next(self, rows: Iterator[tuple[int, Put | BadCustomer]]) -> list[tuple[int, Put]]:
        """Return the next good rows, none when there are no more."""
        return list(islice(self._good(rows), self._chunk))

    def _good(self, rows: Iterator[tuple[int, Put | BadCustomer]]) -> Iterator[tuple[int, Put]]:
        for line, put in rows:
            self._report.rows += 1
            if isinstance(put, BadCustomer):
                self._bad(line, put.field, put.problem)
            elif other := self._seen(put, line):
                self._bad(line, "numbers", f"one of them stands already in the row of line {other}; make them one row")
            else:
                yield line, put

    def _seen(self, put: Put, line: int) -> int:
        """Return the line of an earlier row with one of these numbers, else 0 and remember them."""
        keys = [int(number[1:]) for number in put.numbers]
        if other := next((self._numbers[key] for key in keys if key in self._numbers), 0):
            return other
        self._numbers.update(dict.fromkeys(keys, line))
        return 0

    def _count(self, line: int, done: Done) -> None:
        if done.outcome == "of_two":
            return self._bad(line, "numbers", "they belong to two customers; put them into two rows, or remove one")
        other = self._ids.setdefault(done.customer_id, line) if done.customer_id else line
        if other != line:
            return self._bad(
                line, "numbers", f"they belong to the customer of line {other} so far; make them one row, or remove one"
            )
        self._report.counts[done.outcome] += 1

    def _bad(self, line: int, field: str, problem: str) -> None:
        if line not in self._skipped:
            self.bad_lines.add(line)
            _note(self._report, BadRow(line, field, problem))


def _note(report: Report, bad: BadRow) -> None:
    report.bad_count += 1
    if len(report.bad) < SHOWN:
        report.bad.append(bad)
