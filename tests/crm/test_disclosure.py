"""A caller's copy of what is kept of them: whole, readable, and made without holding it in memory."""

import io
import json
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
import soundfile

from crm import disclosure
from crm.disclosure import Disclosure
from crm.errors import UnknownCall
from crm.store import CallStore
from crm.tracks import HEADER_BYTES, wav_header
from personas.audit import Action, Actor, AuditLog
from tests.crm.keeping import ANN, BOB, SECRET, Archive


@pytest.fixture
def archive(store: CallStore, tmp_path: Path, new_call) -> Archive:
    return Archive(store, tmp_path, new_call)


async def whole(blocks: AsyncIterator[bytes]) -> ZipFile:
    found = ZipFile(io.BytesIO(b"".join([block async for block in blocks])))
    assert found.testzip() is None
    return found


async def test_a_caller_gets_all_their_calls_and_nobody_elses(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disclosure, "_CALLS_AT_ONCE", 2)
    calls = [await archive.call(f"CA{number}") for number in range(4)]
    await archive.live("CA99")
    await archive.call("CB", BOB)
    await archive.know()
    other_number = await archive.call("CA5", "+493012345672")
    ann = await archive.customers.by_number(ANN)
    assert ann is not None
    await archive.customers.save(replace(ann, numbers=(ANN, "+493012345672")))
    gone = archive.recordings.file((await archive.store.call(calls[1])).recording)
    gone.unlink()
    found = await whole(await Disclosure(archive.store, archive.recordings).of_caller(ANN, Actor("ann")))
    about = json.loads(found.read("caller.json"))
    assert (about["format"], about["number"], about["customer"]["profile"]) == (1, ANN, f"Her profile: {SECRET}")
    told = [json.loads(found.read(name)) for name in found.namelist() if name.endswith("call.json")]
    assert len(told) == 6
    assert {each["from_number"] for each in told} == {ANN, "+493012345672"}
    assert other_number in {each["id"] for each in told}
    assert told[0]["customer"]["profile"] == SECRET
    (entry,) = (await AuditLog(archive.database).entries(limit=1)).entries
    assert (entry.actor.name, entry.action) == ("ann", Action.CALLER_HANDED_OUT)
    first = next(each for each in told if each["id"] == calls[0])
    assert [turn["text"] for turn in first["turns"]] == [SECRET, f"You said {SECRET}."]
    assert first["role_prompt"] == SECRET
    assert first["scores"][0]["card"]["verdicts"][0]["quote"] == SECRET
    assert not {"gateway", "handoff", "asked"} & first.keys()
    sounds = [name for name in found.namelist() if name.endswith(".wav")]
    assert len(sounds) == 4
    heard, rate = soundfile.read(io.BytesIO(found.read(sounds[0])), dtype="int16")
    assert (rate, heard.shape) == (8_000, (800, 2))


async def test_of_nobody_there_is_nothing_to_tell(archive: Archive) -> None:
    await archive.call("CA1", "")
    for number in ("", BOB):
        with pytest.raises(UnknownCall):
            await Disclosure(archive.store, archive.recordings).of_caller(number, Actor("ann"))
    await archive.know()
    found = await whole(await Disclosure(archive.store, archive.recordings).of_caller(ANN, Actor("ann")))
    assert found.namelist() == ["caller.json"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_long_recordings_take_no_memory(archive: Archive) -> None:
    call_id = await archive.call("CA1")
    path = archive.recordings.file((await archive.store.call(call_id)).recording)
    path.write_bytes(wav_header(8_000_000))
    with path.open("r+b") as file:
        file.truncate(HEADER_BYTES + 32_000_000)  # sparse
    tracemalloc.start()
    sent = 0
    async for block in await Disclosure(archive.store, archive.recordings).of_caller(ANN, Actor("ann")):
        sent += len(block)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent > 32_000_000
    assert most < 8_000_000
