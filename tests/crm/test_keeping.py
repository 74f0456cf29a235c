"""Retention: what is over its time goes by itself, in batches, whoever else sweeps, and whatever cannot be removed."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, text

from crm import keeping, removal
from crm.erasure import Erasures, Whose
from crm.keeping import Due, Keeper, Limits, keep
from crm.store import CallStore
from crm.tables import CallRow, TurnRow
from personas.db import Database
from tests.crm.keeping import ANN, BOB, SECRET, Archive
from tests.crm.test_erasure import figures


@pytest.fixture
def archive(store: CallStore, tmp_path: Path, new_call) -> Archive:
    return Archive(store, tmp_path, new_call)


async def test_recordings_go_before_their_calls(archive: Archive) -> None:
    old, older = await archive.call("CA1", days_ago=31), await archive.call("CA2", days_ago=91)
    young, refused = await archive.call("CA3", days_ago=29), await archive.live("CA4")
    await archive.store.finish(refused, status="refused", outcome="engine_full")
    await archive.move(refused, 31)
    before = await figures(archive)
    keeper = archive.keeper(calls_days=90, recordings_days=30)
    assert await keeper.due() == Due(calls=1, recordings=1, held=0, unfinished=0)
    done = await keeper.sweep()
    assert (done.calls, done.recordings, done.stuck) == (1, 2, ())
    assert await keeper.due() == Due(0, 0, 0, 0)
    assert await figures(archive) == before

    call = await archive.store.call(old)
    assert (call.recording, call.erased, call.from_number, call.role_prompt) == ("", "recording", ANN, SECRET)
    assert len(await archive.store.turns(old)) == 2
    assert (await archive.store.call(older)).erased == "call"
    assert await archive.store.turns(older) == []
    assert {path.split("/")[-1].lstrip(".").split(".")[0] for path in archive.files()} == {old, young}
    assert not list(archive.recordings.folder.glob(f"*/*/*/*{old}*"))
    assert not (archive.recordings.folder / f"{datetime.now(UTC) - timedelta(91):%Y/%m/%d}").exists()
    assert not (archive.recordings.folder / "erased").exists()  # age needs no tombstone

    await archive.move(old, 91)
    assert (await keeper.sweep()).calls == 1
    assert (await archive.store.call(old)).is_anonymous


async def test_nothing_goes_by_itself_unless_it_is_set(archive: Archive) -> None:
    await archive.call("CA1", days_ago=4_000)
    files = archive.files()
    assert await archive.keeper().due() == Due(0, 0, 0, 0)
    await archive.keeper().sweep()
    assert archive.files() == files


async def test_held_and_live_calls_stay_whole(archive: Archive) -> None:
    held, live = await archive.call("CA1", days_ago=50), await archive.live("CA2")
    await archive.holds.hold(held, "dispute")
    keeper = archive.keeper(calls_days=1, recordings_days=1)
    assert await keeper.due() == Due(0, 0, held=1, unfinished=0)
    assert await keeper.sweep() == await keeper.sweep()
    assert (await archive.store.call(held)).recording
    assert (await archive.store.call(live)).status == "live"
    await archive.move(live, 2)  # of a process that has been gone for long
    await archive.holds.release(held)
    assert (await keeper.sweep()).calls == 2
    assert (await archive.store.call(live)).status == "lost"
    assert await archive.traces(SECRET, ANN) == []


async def test_ten_thousand_old_calls_go_in_batches_beside_a_live_one(archive: Archive) -> None:
    number = 10_000 if "sqlite" in str(archive.database.url) else 500
    await archive.call("CA0", days_ago=400)
    at = datetime.now(UTC) - timedelta(200)
    async with archive.database.session() as session:
        like = dict((await session.execute(select(CallRow.__table__))).mappings().one())
        made = [
            like | {"id": uuid4().hex, "carrier_call_id": f"CA{each}", "created_at": at, "recording": ""}
            for each in range(1, number)
        ]
        await session.execute(insert(CallRow.__table__), made)
        words = {"side": "caller", "start_ms": 0, "end_ms": 9, "text": SECRET, "words": [], "backchannel": False}
        await session.execute(insert(TurnRow), [words | {"call_id": each["id"], "position": 0} for each in made[::10]])
    keeper = archive.keeper(calls_days=90)
    sweeping = asyncio.create_task(keeper.sweep())
    left = select(func.count()).select_from(CallRow).where(CallRow.from_number == ANN)
    seen = []
    while not sweeping.done():
        await archive.store.open_call(archive._new_call(f"CB{len(seen)}"))
        async with archive.database.session() as session:
            seen.append(await session.scalar(left))
    assert (await sweeping).calls == number
    assert set(seen) - {0, number}, "calls are logged between the batches"
    async with archive.database.session() as session:
        assert await session.scalar(select(func.count()).select_from(TurnRow)) == 0
        assert await session.scalar(left) == 0


async def test_two_sweep_at_once(archive: Archive) -> None:
    for each in range(60):
        await archive.live(f"CA{each}", BOB)
    async with archive.database.session() as session:
        await session.execute(text("UPDATE calls SET status = 'ended', outcome = 'caller_hung_up'"))
    for call in (await archive.store.calls(limit=100)).calls:
        await archive.move(call.call.id, 100)
    await archive.call("CA99", days_ago=100)
    keepers = [archive.keeper(calls_days=90, recordings_days=30) for _ in range(3)]
    done = await asyncio.gather(*(keeper.sweep() for keeper in keepers))
    assert sum(each.calls for each in done) >= 61
    assert await archive.traces(SECRET, BOB) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_file_that_cannot_be_removed_is_tried_again(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    """Here a folder is in its place; the others go meanwhile."""
    stuck, other = await archive.call("CA1", days_ago=40), await archive.call("CA2", days_ago=41)
    path = archive.recordings.file((await archive.store.call(stuck)).recording)
    path.unlink()
    path.mkdir()
    keeper = archive.keeper(calls_days=30)
    done = await keeper.sweep()
    assert (done.calls, [call_id for call_id, _ in done.stuck]) == (1, [stuck])
    assert str(path) in dict(done.stuck)[stuck]
    assert "could not be removed" in caplog.text
    assert (await archive.store.call(other)).is_anonymous
    assert (await keeper.due()).unfinished == 1
    path.rmdir()
    assert (await keeper.sweep()).calls == 1
    assert await archive.traces(SECRET, ANN) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_files_of_a_foreign_owner_are_told(archive: Archive, tmp_path: Path) -> None:
    call_id = await archive.call("CA1", days_ago=40)
    path = archive.recordings.file((await archive.store.call(call_id)).recording)
    keeper = archive.keeper(calls_days=30)
    with nobody_in(tmp_path, read_only=path.parent):
        done = await keeper.sweep()
    ((stuck, why),) = done.stuck
    assert (stuck, why.startswith(str(path.parent)), why[-19:]) == (call_id, True, " Permission denied.")
    assert path.is_file()
    assert (await archive.store.call(call_id)).erasing == "call"
    path.parent.chmod(0o755)
    assert (await keeper.sweep()).calls == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_full_disk_is_given_room(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database takes no mark until files are gone; here another holds it until then."""
    await archive.call("CA1", days_ago=40)
    impatient = Database(str(archive.database.url))
    async with impatient.engine.connect() as connection:
        await connection.execute(text("PRAGMA busy_timeout=50"))
    keeper = Keeper(Erasures(impatient, archive.recordings, rests=0), Limits(30))
    holder = sqlite3.connect(archive.database.url.database or "", check_same_thread=False, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    def remove_files(*given: Any) -> dict[str, str]:
        stuck = removal.remove_files(*given)
        if holder.in_transaction:
            holder.rollback()
        return stuck

    monkeypatch.setattr(keeping, "remove_files", remove_files)
    assert (await keeper.sweep()).calls == 1
    assert not archive.files()
    holder.close()
    await impatient.close()


@contextmanager
def nobody_in(folder: Path, read_only: Path) -> Iterator[None]:
    """Be a user, not root, who may do everything in a folder but in one part of it."""
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o777)
    for each in takewhile(lambda parent: parent != Path(tempfile.gettempdir()), folder.parents):
        each.chmod(0o755)  # pytest's own let nobody else in
    read_only.chmod(0o555)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(was)


async def test_missing_files_are_no_trouble_and_foreign_ones_are_left(archive: Archive) -> None:
    call_id = await archive.call("CA1", days_ago=40)
    await archive.call("CA2", days_ago=41)
    for path in archive.files():
        if call_id in path:
            (archive.recordings.folder / path).unlink()
    day = archive.recordings.folder / f"{datetime.now(UTC) - timedelta(41):%Y/%m/%d}"
    (day / "notes.txt").write_text("mine")
    (archive.recordings.folder / "2020").mkdir()
    done = await archive.keeper(calls_days=30).sweep()
    assert (done.calls, done.stuck) == (2, ())
    assert archive.files() == {(day / "notes.txt").relative_to(archive.recordings.folder).as_posix()}


async def test_files_that_no_call_leads_to_go_with_their_time(archive: Archive) -> None:
    """What a restored folder brought back, what was written for a database that is gone; a held call's stay."""
    erased, held, lost = [await archive.call(f"CA{each}", days_ago=40) for each in range(3)]
    await archive.holds.hold(held, "dispute")
    await archive.erasures.erase(Whose(erased))
    live = await archive.live("CA9")  # whose row does not name its recording yet
    archive.record(live, 40)
    before = archive.files()
    archive.record(erased, 40)
    archive.record("0" * 31 + "a", 40)
    young = archive.record("0" * 31 + "b", 5)
    await archive.keeper(recordings_days=30).sweep()
    found = {path for path in archive.files() if not path.startswith(("live/", "unsaved/"))}
    lost_ones = {path for path in before if lost in path}
    assert found == {path for path in before - lost_ones if path.startswith("2")} | {
        young,
        young.replace(".wav", ".peaks-800.json"),
    }
    for path in archive.recordings.folder.glob("[lu]*/*"):
        if "0000" in path.name:
            os.utime(path, (0, 0))
    await archive.keeper(calls_days=60).sweep()
    assert not [path for path in archive.files() if "0000" in path and not path.startswith("2")]
    assert [path for path in archive.files() if lost in path and path.startswith("live/")]


async def test_keeping_goes_on_when_the_database_comes_back(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    call_id = await archive.call("CA1", days_ago=40)
    stop = asyncio.Event()
    async with archive.database.session() as session:
        await session.execute(text("ALTER TABLE calls RENAME TO away"))
    async with asyncio.TaskGroup() as group, asyncio.timeout(20):
        group.create_task(keep(archive.keeper(calls_days=30), stop, every_s=0.01, retry_s=0.01))
        await until(lambda: "could not be erased yet" in caplog.text)
        async with archive.database.session() as session:
            await session.execute(text("ALTER TABLE away RENAME TO calls"))
        await until(lambda: "calls were erased" in caplog.text)
        stop.set()
    assert (await archive.store.call(call_id)).is_anonymous


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  a log line sets no event
        await asyncio.sleep(0.01)
