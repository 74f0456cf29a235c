"""`parley` as people type it, on a data folder of each test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.cli import app
from agent.settings import settings

Parley = Callable[..., Result]


@pytest.fixture
def parley(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parley]:
    """Run a command in the folder ``data``; errors that `parley` would print come out raised."""
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("PARLEY_DATABASE_URL", raising=False)
    settings.cache_clear()

    def run(*arguments: str, code: int = 0, typed: str = "") -> Result:
        result = CliRunner().invoke(app, arguments, input=typed)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    yield run
    settings.cache_clear()
