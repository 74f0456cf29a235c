"""Rows as comma-separated values that spreadsheets take for what they are."""

import csv
import io
from collections.abc import Iterable

_BEGINS_A_FORMULA = tuple("=-@\t\r")  # not +: phone numbers begin with it


def csv_lines(rows: Iterable[Iterable[object]], delimiter: str = ",") -> str:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([[_safe(cell) for cell in row] for row in rows])
    return text.getvalue()


def as_written(cell: str) -> str:
    """Return a cell's text without the mark that ``csv_lines`` gave it."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_BEGINS_A_FORMULA) else cell


def _safe(cell: object) -> object:
    """Keep a spreadsheet from taking text for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_BEGINS_A_FORMULA) else cell
