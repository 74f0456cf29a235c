"""A machine that records where the others don't look does not start; one that shares the folder does."""

import asyncio
from pathlib import Path

import pytest

from agent.settings import SettingsError
from agent.shared import folder_mark, refuse_another_folder, secret_mark
from crm.gateways import Gateways, Told
from personas.db import Database


def test_a_folder_is_known_by_its_mark_on_every_machine(tmp_path: Path) -> None:
    shared, other = tmp_path / "shared", tmp_path / "other"
    shared.mkdir()
    other.mkdir()
    (tmp_path / "mounted").symlink_to(shared)
    mark = folder_mark(shared)
    assert len(mark) == 32
    assert folder_mark(tmp_path / "mounted") == mark
    assert folder_mark(other) != mark
    assert folder_mark(tmp_path / "missing") == ""


def test_a_secret_is_not_in_its_mark() -> None:
    assert secret_mark("a" * 32) == secret_mark("a" * 32) != secret_mark("b" * 32)
    assert len(secret_mark("a" * 32)) == 32


async def test_a_machine_with_another_folder_starts_only_where_the_others_are_dead(database: Database) -> None:
    other, own = (Gateways(database, f"{name}:1", Told(folder_mark=name)) for name in ("other", "own"))
    await refuse_another_folder(own, 0)  # nobody is there
    await other.beat()
    await refuse_another_folder(own, 0)  # it is not heard of again
    async with asyncio.TaskGroup() as group:
        refusing = group.create_task(_refused(own))
        await asyncio.sleep(0.05)
        await other.beat()
    assert "another folder" in refusing.result()
    same = Gateways(database, "same:1", Told(folder_mark="other"))
    unknown = Gateways(database, "unknown:1", Told())
    await asyncio.gather(refuse_another_folder(same, 60), refuse_another_folder(unknown, 60))


async def _refused(own: Gateways) -> str:
    with pytest.raises(SettingsError) as refusal:
        await refuse_another_folder(own, 0.3)
    return str(refusal.value)
