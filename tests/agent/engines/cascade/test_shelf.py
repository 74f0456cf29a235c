"""Files kept across restarts: found as they were put, never when damaged, and not without bound."""

import os
from pathlib import Path

import pytest

from agent.engines.cascade.shelf import Shelf


def age(folder: Path, name: str, seconds: float) -> None:
    path = folder / name
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_what_was_put_is_found_by_another_process_too(tmp_path: Path) -> None:
    put = Shelf(tmp_path / "new").put("card.lm", b"words")
    assert Shelf(tmp_path / "new").find("card.lm") == put
    assert put.read_bytes() == b"words"


@pytest.mark.parametrize("damage", [b"", b"word", b"swords", b"\xff\xfe"])
def test_damaged_files_are_not_found_and_may_be_put_again(tmp_path: Path, damage: bytes) -> None:
    shelf = Shelf(tmp_path)
    for name in ("card.lm", "card.lm.sum"):
        shelf.put("card.lm", b"words")
        (tmp_path / name).write_bytes(damage)
        assert shelf.find("card.lm") is None
    assert shelf.find(shelf.put("card.lm", b"words").name) is not None


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert Shelf(tmp_path / "none").find("card.lm") is None


def test_the_least_used_is_thrown_away(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, most=2)
    for hours, name in ((3, "first"), (2, "second")):
        shelf.put(name, name.encode())
        age(tmp_path, name, hours * 3600)
    (tmp_path / "broken.1.part").write_bytes(b"half")
    age(tmp_path, "broken.1.part", 3600)
    assert shelf.find("first") is not None
    shelf.put("third", b"third")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "first.sum", "third", "third.sum"]


def test_young_files_stay_though_there_are_too_many(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, most=1)
    for name in ("one", "two", "three"):
        shelf.put(name, b"")
    assert all(shelf.find(name) for name in ("one", "two", "three"))
