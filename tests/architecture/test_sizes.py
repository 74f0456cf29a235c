"""Long modules, long functions and tangled functions are where a code base hurts; here is their limit."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "telephony", "personas", "crm", "migrations")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

MOST_LINES = 400
MEDIAN_LINES = 120
MOST_FUNCTION_LINES = 60


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_and_its_functions_fit_the_limits(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_LINES
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    if path.parent.name == "versions":
        return  # a migration is a list of columns, as long as the schema is
    long = [f.name for f in functions if f.end_lineno and f.end_lineno - f.lineno >= MOST_FUNCTION_LINES]
    assert not long, f"functions over {MOST_FUNCTION_LINES} lines"


def test_the_median_module_is_short() -> None:
    assert statistics.median(len(path.read_text().splitlines()) for path in MODULES) <= MEDIAN_LINES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_a_sentence(path: Path) -> None:
    text = path.read_text()
    if text.strip():
        docstring = ast.get_docstring(ast.parse(text))
        assert docstring
        assert (
            docstring.splitlines()[0].rstrip().endswith((".", ":", "!", "?", ",", ";"))
            or len(docstring.splitlines()) > 1
        )


FORBIDDEN_NAMES = {"common", "util", "utils", "helper", "helpers", "manager", "impl", "misc"}


def test_no_module_is_named_after_nothing() -> None:
    assert not [path for path in MODULES if path.stem in FORBIDDEN_NAMES or path.parent.name in FORBIDDEN_NAMES]
