"""`parley calls` on a real database and folder."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agent import settings
from agent.cli import app
from crm.store import CallStore
from tests.crm.keeping import ANN, BOB, SECRET, Archive

Parley = Callable[..., Result]
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def archive(store: CallStore, tmp_path: Path, new_call) -> Archive:
    return Archive(store, tmp_path, new_call)


@pytest.fixture
def parley(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs `parley calls` on the test's database and folder."""
    monkeypatch.setenv("PARLEY_DATABASE_URL", database_url)
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PARLEY_KEEP_CALLS_DAYS", "30")
    settings.settings.cache_clear()
    yield lambda *arguments, **more: asyncio.to_thread(CliRunner().invoke, app, ["calls", *arguments], **more)
    settings.settings.cache_clear()


async def test_prune_says_first_and_does_then(parley, archive: Archive) -> None:
    old, held = await archive.call("CA1", days_ago=40), await archive.call("CA2", days_ago=50)
    assert (await parley("hold", held, "--reason", "court order 7")).exit_code == 0
    assert f"{held}  " in (listed := await parley("held")).stdout
    assert ": court order 7" in listed.stdout
    told = await parley("prune", "--dry-run")
    assert told.stdout == "Would go: 1 call, and 0 recordings of younger ones.\nOn hold, and would stay: 1 call.\n"
    assert (await archive.store.call(old)).recording
    assert (await parley("prune")).stdout == "Erased: 1 call, 1 recording.\n"
    refused = await parley("erase", held, "--yes")
    assert refused.exit_code == 1
    assert "This call is on hold: court order 7. Release the hold first." in refused.stderr
    assert (await parley("release", held)).exit_code == 0
    assert (await parley("prune")).stdout == "Erased: 1 call, 1 recording.\n"
    assert await archive.traces(SECRET, ANN) == []


async def test_a_caller_is_handed_out_and_erased(parley, archive: Archive, tmp_path: Path) -> None:
    await archive.call("CA1")
    await archive.know()
    to = tmp_path / "ann.zip"
    written = await parley("export", "--caller", "+49 (0)30 12345671", "--to", str(to))
    assert written.exit_code == 0, written.output
    assert len(ZipFile(to).namelist()) == 3
    assert to.stat().st_mode & 0o777 == 0o600
    assert (await parley("erase", "--caller", ANN, input="n\n")).exit_code == 1
    assert await archive.traces(SECRET)
    told = await parley("erase", "--caller", "-", "--yes", input=f"{ANN}\n")
    assert told.exit_code == 0, told.output
    assert f"for you to remove there: the message https://api.twilio.com/{SECRET}" in told.stdout
    assert told.stdout.endswith("Erased: 1 call, 1 recording.\n")
    to.unlink()
    assert await archive.traces(SECRET, ANN) == []


async def test_what_cannot_be_is_told(parley, archive: Archive, tmp_path: Path) -> None:
    call_id = await archive.call("CA1")
    for arguments in (["erase"], ["erase", call_id, "--caller", ANN], ["erase", "--caller", "1234"]):
        assert (await parley(*arguments)).exit_code == 2
    for to in (tmp_path, tmp_path / "nowhere" / "ann.zip"):
        failed = await parley("export", "--caller", ANN, "--to", str(to))
        assert "can't be written" in str(failed.exception)
    assert "Nothing is kept" in str((await parley("erase", "--caller", BOB)).exception)
    path = archive.recordings.file((await archive.store.call(call_id)).recording)
    path.unlink()
    path.mkdir()
    stuck = await parley("erase", call_id, "--yes")
    assert stuck.exit_code == 1
    assert f"{path} can't be removed: Is a directory." in stuck.stderr
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]
