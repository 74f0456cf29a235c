"""Rows as comma-separated values that spreadsheets take for what they are."""

import csv
import io
from collections.abc import Iterable


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text).writerows([[_safe(cell) for cell in row] for row in rows])
    return text.getvalue()


def _safe(cell: object) -> object:
    """Keep a spreadsheet from taking text for a formula."""
    is_formula = isinstance(cell, str) and cell[:1] in "=-@\t\r" and cell != ""
    return f"'{cell}" if is_formula else cell
