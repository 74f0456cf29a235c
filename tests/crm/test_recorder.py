"""The recorder, with real files, threads and databases."""

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sqlalchemy import text

import crm.recorder
from crm.call import Call, Handoff
from crm.journal import Journal
from crm.recorder import CallRecorder
from crm.recordings import Recordings
from crm.recovery import recover_lost_call, recover_lost_calls
from crm.store import CallStore
from crm.tracks import wav_header
from personas.db import Database

HZ = 8_000
RANDOM = np.random.default_rng(7)


def speech(ms: int) -> np.ndarray:
    """Noise, loud enough to be speech and sharp under cross-correlation."""
    return (RANDOM.standard_normal(ms * 8) * 3_000).astype(np.int16)


def lag_ms(track: np.ndarray, heard: np.ndarray, at_ms: int) -> float:
    """How much later than at_ms ``heard`` is in the track, by cross-correlation."""
    whole = np.correlate(track.astype(float), heard.astype(float), "valid")
    return float(np.argmax(whole)) / 8 - at_ms


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path / "recordings")


@pytest.fixture
async def live(store: CallStore, new_call) -> Call:
    opened = await store.open_call(new_call())
    return await store.claim("CA1", "AC1", opened.nonce)


async def test_a_call_given_to_a_human_says_so(store: CallStore, recordings: Recordings, live: Call):
    given = Handoff("warm", "+15550177", "rule", "fraud")
    await CallRecorder(live.id, store, recordings).finish("transferred", handoff=given)
    call = await store.call(live.id)
    assert (call.outcome, call.handoff) == ("transferred", given)


async def test_a_call_is_recorded_transcribed_and_logged(store: CallStore, recordings: Recordings, live: Call):
    recorder = CallRecorder(live.id, store, recordings)
    silence = np.zeros(640, np.int16)
    hello, question = speech(800), speech(1_200)
    for frame in range(60):  # 4.8 s; the agent greets at 0.4 s, the caller asks at 2.0 s
        at_ms = frame * 80
        caller = question[(at_ms - 2_000) * 8 :][:640] if 2_000 <= at_ms < 3_200 else silence
        recorder.caller_audio(at_ms, caller)
        agent = hello[(at_ms - 400) * 8 :][:640] if 400 <= at_ms < 1_200 else silence
        recorder.agent_audio(frame, at_ms, agent)
        recorder.agent_played(frame, at_ms + 80 + 60)  # heard 60 ms after it was sent
    recorder.agent_text(400, "Hello,")
    recorder.agent_text(640, " WasteCo.")
    recorder.caller_word(2_050, 2_500, "what")
    recorder.caller_word(2_500, 3_100, "day")
    recorder.event("digit", 3_500, "0")
    recorder.timing("endpoint", 500)
    recorder.timing("endpoint", 700)
    recorder.timing("broken", float("nan"))
    await recorder.finish("caller_hung_up", "", 4_900)
    await recorder.finish("agent_hung_up")

    call = await store.call(live.id)
    assert (call.status, call.outcome, call.reason, call.duration_ms) == ("ended", "caller_hung_up", "", 4_900)
    assert call.timing == {"endpoint": 600.0}
    turns = await store.turns(live.id)
    assert [(turn.side, turn.text) for turn in turns] == [("agent", "Hello, WasteCo."), ("caller", "what day")]
    assert turns[0].start_ms == pytest.approx(460, abs=30)
    assert turns[1].start_ms == pytest.approx(2_000, abs=30)
    assert turns[0].words[1].start_ms == pytest.approx(700, abs=15)
    assert [event.kind for event in await store.events(live.id)] == ["digit"]
    heard, rate = soundfile.read(recordings.file(call.recording), dtype="int16")
    assert (rate, heard.shape) == (HZ, (4_900 * 8, 2))
    assert abs(lag_ms(heard[:, 0], question, 2_000)) < 1
    assert abs(lag_ms(heard[:, 1], hello, 460)) < 1
    assert (await store.dynamics(live.id))["duration_ms"] == 4_900
    assert not recordings.journal(live.id).exists()


CRASHER = """
import asyncio, sys
import numpy as np
from crm.journal import Journal
from crm.recorder import CallRecorder
from crm.recordings import Recordings
from crm.store import CallStore
from personas.db import Database
from crm.call import NewCall
from pathlib import Path

async def main(url, folder):
    store = CallStore(Database(url))
    new = NewCall("twilio", "CA1", "AC1", "+1", "+2")
    opened = await store.open_call(new)
    call = await store.claim("CA1", "AC1", opened.nonce)
    recorder = CallRecorder(call.id, store, Recordings(Path(folder)))
    tone = (np.sin(np.arange(640) / 3) * 9000).astype(np.int16)
    for frame in range(60):
        recorder.caller_audio(frame * 80, tone if frame < 20 else tone * 0)
        recorder.agent_audio(frame, frame * 80, tone if frame > 30 else tone * 0)
        recorder.agent_played(frame, frame * 80 + 100)
    recorder.caller_word(100, 500, "help")
    recorder.agent_text(2480, "Certainly.")
    await asyncio.sleep(1.5)
    print(call.id, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_killed_process_loses_the_last_seconds_only(
    database_url: str, store: CallStore, recordings: Recordings
):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CRASHER, database_url, str(recordings.folder), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    call_id = (await process.stdout.readline()).decode().strip()
    assert await store.left_behind() == []  # its process lives
    process.send_signal(signal.SIGKILL)
    await process.wait()
    (half,) = recordings.folder.glob("*/*/*/*.wav")
    with half.open("ab") as file:
        file.write(b"\0" * 4_001)  # a write that the header does not know yet, torn

    assert await recover_lost_calls(store, recordings) == 1
    call = await store.call(call_id)
    assert (call.status, call.outcome) == ("lost", "gateway_lost")
    assert "stopped" in call.reason
    heard, _ = soundfile.read(recordings.file(call.recording), dtype="int16")
    assert len(heard) >= 2_800 * 8
    assert heard[1_000 * 8 :, 0].any()
    turns = await store.turns(call_id)
    assert [(turn.side, turn.text) for turn in turns] == [("caller", "help"), ("agent", "Certainly.")]
    assert await recover_lost_calls(store, recordings) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_of_two_that_recover_a_call_one_does(store: CallStore, recordings: Recordings, live: Call):
    """The second comes when the call's notes are gone already, and must not say that there was nothing."""
    recording = recordings.new(live.id)
    recordings.folder.joinpath(recording).parent.mkdir(parents=True)
    recordings.folder.joinpath(recording).write_bytes(wav_header(0) + bytes(4 * HZ))
    journal = Journal(recordings.journal(live.id))
    journal.append([["recording", recording], ["event", "dtmf", 80, "0"]])
    journal.close()
    for _ in range(2):
        await recover_lost_call(store, recordings, live)
    call = await store.call(live.id)
    assert (call.outcome, call.recording, call.duration_ms) == ("gateway_lost", recording, 1_000)
    assert [event.kind for event in await store.events(live.id)] == ["dtmf"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_end_that_another_process_has_just_imported_keeps_nobody_from_starting(
    store: CallStore, recordings: Recordings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recordings, "all_unsaved", lambda: [recordings.unsaved("c1")])  # it was there a moment ago
    assert await recover_lost_calls(store, recordings) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_locked_database_loses_nothing(
    database: Database, store: CallStore, recordings: Recordings, live: Call, tmp_path: Path, monkeypatch
):
    impatient = Database(str(database.url))
    recorder = CallRecorder(live.id, CallStore(impatient), recordings)
    recorder.caller_audio(0, speech(1_000))
    recorder.caller_word(0, 900, "hello")
    async with database.engine.connect() as other:
        await other.execute(text("BEGIN IMMEDIATE"))
        async with impatient.engine.connect() as connection:
            await connection.execute(text("PRAGMA busy_timeout=50"))
        await recorder.finish("caller_hung_up")
        await other.rollback()
    assert (await store.call(live.id)).status == "live"
    assert recordings.all_unsaved()
    assert await recover_lost_calls(store, recordings) == 0
    call = await store.call(live.id)
    assert (call.status, call.outcome) == ("ended", "caller_hung_up")
    assert [turn.text for turn in await store.turns(live.id)] == ["hello"]
    assert not recordings.all_unsaved()
    await impatient.close()


async def test_an_end_that_nothing_takes_is_logged_once_there_is_room(
    database: Database, store: CallStore, recordings: Recordings, live: Call, new_call
):
    """The database and the disk are full; here a table is away, and a file is where a folder should be."""
    recorder = CallRecorder(live.id, store, recordings)
    recorder.caller_audio(0, speech(1_000))
    recorder.caller_word(0, 900, "hello")
    next_call = await store.claim("CA2", "AC1", (await store.open_call(new_call("CA2"))).nonce)
    recorder.flush()
    in_the_way = recordings.folder / "unsaved"
    in_the_way.write_text("")
    async with database.session() as session:
        await session.execute(text("ALTER TABLE turns RENAME TO away"))
    await recorder.finish("caller_hung_up")
    assert (await store.call(live.id)).status == "live"
    in_the_way.unlink()
    async with database.session() as session:
        await session.execute(text("ALTER TABLE away RENAME TO turns"))
    await CallRecorder(next_call.id, store, recordings).finish("caller_hung_up")
    assert (await store.call(live.id)).outcome == "caller_hung_up"
    assert [turn.text for turn in await store.turns(live.id)] == ["hello"]
    assert not recordings.journal(live.id).exists()


async def test_a_folder_that_cannot_be_written_does_not_stop_the_call(store: CallStore, tmp_path: Path, live: Call):
    (tmp_path / "blocked").write_text("a file, where the folder should be")
    recorder = CallRecorder(live.id, store, Recordings(tmp_path / "blocked"))
    recorder.caller_audio(0, speech(500))
    recorder.caller_word(0, 400, "hello")
    await recorder.finish("caller_hung_up", "The caller hung up.")
    call = await store.call(live.id)
    assert (call.status, call.recording) == ("ended", "")
    assert call.reason.startswith("The caller hung up. ")
    assert "recorded" in call.reason or "kept" in call.reason
    assert "recording_failed" in [event.kind for event in await store.events(live.id)]
    assert [turn.text for turn in await store.turns(live.id)] == ["hello"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_full_disk_keeps_what_was_recorded(store: CallStore, recordings: Recordings, live: Call, monkeypatch):
    import crm.tracks

    room = 44 + 4 * 8_000

    def write_while_there_is_room(fd: int, data, at: int) -> int:
        if at + len(data) > room:
            raise OSError(28, "No space left on device")
        return os_pwrite(fd, data, at)

    os_pwrite = os.pwrite
    monkeypatch.setattr(crm.tracks.os, "pwrite", write_while_there_is_room)
    recorder = CallRecorder(live.id, store, recordings)
    recorder.caller_audio(0, speech(1_000))
    await asyncio.to_thread(recorder.flush)
    recorder.caller_audio(1_000, speech(1_000))
    recorder.caller_word(1_200, 1_900, "hello")
    await recorder.finish("caller_hung_up")
    call = await store.call(live.id)
    assert "No space left" in call.reason
    assert len(soundfile.read(recordings.file(call.recording))[0]) == 8_000
    assert "hello" in [turn.text for turn in await store.turns(live.id)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_odd_values_cost_themselves_only(store: CallStore, recordings: Recordings, live: Call):
    recorder = CallRecorder(live.id, store, recordings)
    recorder.caller_audio(-5, speech(20))
    recorder.caller_audio(10**12, speech(20))
    recorder.caller_audio("soon", speech(20))  # pyright: ignore[reportArgumentType]
    recorder.agent_audio(0, np.int64(0), speech(20).reshape(2, -1))  # pyright: ignore[reportArgumentType]
    recorder.agent_audio(1, 20, "sound")  # pyright: ignore[reportArgumentType]
    recorder.event("odd", 0, "\0\ud800")
    recorder.caller_audio(0, speech(1_000))
    recorder.caller_word(0, 900, "hello")
    await recorder.finish("caller_hung_up")
    assert [turn.text for turn in await store.turns(live.id)] == ["hello"]
    assert (await store.call(live.id)).duration_ms == 0
    assert {event.kind for event in await store.events(live.id)} == {"odd", "odd_time", "audio_lost"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_the_caller_did_not_wait_for_was_not_said(store: CallStore, recordings: Recordings, live: Call):
    recorder = CallRecorder(live.id, store, recordings)
    for frame, word in enumerate(["One", " two", " three", " four"]):
        recorder.agent_audio(frame, 20 * frame, speech(1_000))  # sent fast; the carrier plays one after the other
        recorder.agent_text(20 * frame, word)
    recorder.agent_played(0, 1_100)
    recorder.caller_audio(1_480, np.zeros(160, np.int16))
    await recorder.finish("caller_hung_up", "", 1_500)
    heard, _ = soundfile.read(recordings.file((await store.call(live.id)).recording), dtype="int16")
    assert len(heard) == 1_500 * 8
    assert not heard[: 100 * 8, 1].any()
    assert heard[1_110 * 8 :, 1].any()
    assert [turn.text for turn in await store.turns(live.id)] == ["One two"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_end_that_cannot_be_read_is_put_aside(store: CallStore, recordings: Recordings, live: Call):
    recordings.unsaved(live.id).parent.mkdir(parents=True)
    recordings.unsaved(live.id).write_text(json.dumps({"status": "ended"}))
    await recover_lost_calls(store, recordings)
    assert recordings.unsaved(live.id).with_suffix(".unreadable").exists()
    assert not recordings.all_unsaved()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_twenty_calls_leave_no_thread_or_file_open(store: CallStore, recordings: Recordings, new_call):
    recorders = []
    for index in range(20):
        call = (await store.open_call(new_call(f"CA{index}"))).call
        recorders.append(CallRecorder(call.id, store, recordings))
        recorders[-1].caller_audio(0, speech(100))
    await asyncio.gather(*[recorder.finish("caller_hung_up") for recorder in recorders])
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("recorder-")] == []
    assert [file for file in open_files() if file.startswith(str(recordings.folder))] == []


def open_files() -> list[str]:
    return [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_call_that_cannot_be_kept_costs_no_other_its_recording(
    store: CallStore, recordings: Recordings, new_call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(crm.recorder, "FLUSH_S", 0.05)
    broken, whole = [
        CallRecorder((await store.open_call(new_call(f"CA{index}"))).call.id, store, recordings) for index in range(2)
    ]
    tries = threading.Semaphore(0)

    def fail() -> None:
        tries.release()
        raise RuntimeError("odd")

    monkeypatch.setattr(broken, "flush", fail)
    whole.caller_audio(0, speech(1_000))
    for _ in range(3):  # after the second the first round is over
        assert await asyncio.to_thread(tries.acquire, timeout=5)
    assert b"clock" in recordings.journal(whole.call_id).read_bytes()
    await asyncio.gather(broken.finish("caller_hung_up"), whole.finish("caller_hung_up"))
    assert (await store.call(broken.call_id)).status == "ended"
