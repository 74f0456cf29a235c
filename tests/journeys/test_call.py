"""Calls over real sockets in real time, from the signed webhook to rows and recording."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import wave
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import correlate

from agent.engines.loopback import LoopbackEngine
from agent.settings import load
from crm.call import Call
from crm.store import CallStore
from personas.db import Database
from telephony.simulator import CallResult, Phone
from telephony.simulator.callers import Act, HangUp, Pause, Say, ScriptedCaller, Step
from telephony.simulator.hearing import AgentEar
from telephony.simulator.recordings import load_recording
from tests.agent.conftest import Open
from tests.agent.exchange import (
    NOBODYS_NUMBER,
    NUMBER,
    OTHER_NUMBER,
    TOKEN,
    Exchange,
    ScriptedEngine,
    burst,
    ended_row,
    furnish,
)

ROOT = Path(__file__).resolve().parents[2]
AUDIO = ROOT.parent / "shared" / "audio"
MOST_OFF_MS = 40


def caller(seed: int, wait_ms: int = 400) -> ScriptedCaller:
    """Says one second of noise that nobody else says, and hangs up a second later."""
    return ScriptedCaller(
        [Pause(wait_ms), Say("", burst(seed), at_ms=wait_ms), Pause(1_000), HangUp()], patience_ms=100
    )


def offset_ms(track: np.ndarray, reference: np.ndarray) -> float:
    """How much later ``reference`` is found in ``track`` than in itself; both [N] int16 at 8 kHz."""
    found = correlate(track.astype(float), reference.astype(float), method="fft")
    # A busy machine's phone plays with gaps: parts may lie elsewhere by as much, most of it does not.
    assert found.max() > 0.3 * float(np.sum(reference.astype(float) ** 2)), "it is not in there"
    return (int(found.argmax()) - (reference.size - 1)) / 8


def resemblance(track: np.ndarray, reference: np.ndarray) -> float:
    """The highest correlation of ``reference`` anywhere in ``track``, 1 where it is contained."""
    found = correlate(track.astype(float), reference.astype(float), method="fft")
    return float(np.abs(found).max()) / float(np.sum(reference.astype(float) ** 2))


def tracks(where: Exchange, row: Call) -> tuple[np.ndarray, np.ndarray]:
    """The recording's caller and agent."""
    with wave.open(str(where.state.recordings.file(row.recording))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8_000)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0], both[:, 1]


def assert_recorded_as_heard(where: Exchange, row: Call, result: CallResult) -> None:
    """The caller is on the left when it spoke, the agent on the right when it was heard.

    A phone that a busy machine kept from its clock hears later than it could, by as much as it was late.
    """
    most_off_ms = MOST_OFF_MS + result.streams[0].lateness_ms
    caller_track, agent_track = tracks(where, row)
    assert abs(offset_ms(caller_track, result.said)) <= MOST_OFF_MS
    assert abs(offset_ms(agent_track, result.heard)) <= most_off_ms


async def test_a_call_from_ring_to_recording(open_exchange: Open, database_url: str) -> None:
    await furnish(database_url)
    where = await open_exchange(LoopbackEngine(2, 5), database_url=database_url)
    result = await where.phone.call(caller(1), to_number=NUMBER)
    assert (result.ended_by, result.steps, result.errors) == ("caller", ("Connect",), ())
    row = await where.row(result.call_id)
    assert (row.status, row.outcome, row.persona_slug) == ("ended", "caller_hung_up", "acme-help")
    late_ms = result.streams[0].lateness_ms  # a busy machine's
    assert abs((row.duration_ms or 0) - result.duration_ms) < 250 + late_ms
    # The agent repeats the caller five frames later: the phone hears it, on time, and so does the recording.
    assert 400 < offset_ms(result.heard, result.said) < 800 + late_ms
    assert_recorded_as_heard(where, row, result)
    sides = [(turn.side, turn.start_ms) for turn in await where.state.calls.turns(row.id)]
    assert [side for side, _ in sides] == ["caller", "agent"]
    assert where.state.engine.capacity().used == 0


@pytest.mark.skipif(not AUDIO.is_dir(), reason="the recordings of ../shared/audio are not here")
async def test_real_speech_is_recorded_on_the_right_tracks_at_the_right_times(open_exchange: Open) -> None:
    where = await open_exchange(LoopbackEngine(3, 4))
    bark = load_recording(AUDIO / "tau2_dog_bark.wav")
    callers = [
        ScriptedCaller(
            [Say("", load_recording(AUDIO / name), at_ms=300), Pause(600), HangUp()], patience_ms=100, background=under
        )
        for name, under in (
            ("tau2_order_status.ulaw", None),
            ("tau2_hi_how_are_you.wav", None),
            ("tau2_help_me.wav", bark // 4),
        )
    ]
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(where.phone.call(caller, to_number=NUMBER)) for caller in callers]
    for result in (call.result() for call in calls):
        assert_recorded_as_heard(where, await where.row(result.call_id), result)
        assert offset_ms(result.heard, result.said) > 320  # the loopback repeats the caller four frames later


async def test_two_calls_at_once_are_not_mixed(open_exchange: Open) -> None:
    engine = LoopbackEngine(2, 0)
    where = await open_exchange(engine)
    async with asyncio.TaskGroup() as group:
        one = group.create_task(where.phone.call(caller(1), to_number=NUMBER, from_number="+15550171"))
        other = group.create_task(where.phone.call(caller(2, 450), to_number=OTHER_NUMBER, from_number="+15550172"))
    results: list[CallResult] = [one.result(), other.result()]
    rows = [await where.row(result.call_id) for result in results]
    assert [row.persona_slug for row in rows] == ["acme-help", "bell-help"]
    assert [row.from_number for row in rows] == ["+15550171", "+15550172"]
    for seed, (result, row) in enumerate(zip(results, rows, strict=True), 1):
        for track in (*tracks(where, row), result.heard):
            assert resemblance(track, burst(seed)) > 0.4  # a busy machine's phone hears gaps
            assert resemblance(track, burst(3 - seed)) < 0.2


async def test_what_callers_hear_who_can_not_be_connected(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(slots=0))
    for number, outcome, word in ((NOBODYS_NUMBER, "unknown_number", "service"), (NUMBER, "engine_full", "busy")):
        result = await where.phone.call(caller(1), to_number=number)
        assert (result.ended_by, result.steps) == ("agent", ("Say", "Hangup"))
        assert word in result.sentences[0]
        row = await where.row(result.call_id)
        assert (row.status, row.outcome) == ("refused", outcome)
        assert row.reason


async def test_a_full_engine_takes_the_next_call_once_one_is_over(open_exchange: Open) -> None:
    where = await open_exchange(LoopbackEngine(1, 0))
    async with where.call() as stream:
        await stream.frames(1)
        refused = await where.phone.call(caller(1), to_number=NUMBER)
        assert refused.streams == ()
        await stream.send("stop", stop={})
        await stream.closed()
    assert (await where.phone.call(caller(1), to_number=NUMBER)).ended_by == "caller"


@asynccontextmanager
async def server_process(
    folder: Path, *arguments: str, drain_s: str = "1", host_name: str = "", **settings: str
) -> AsyncIterator[tuple[Process, str, str]]:
    """`parley serve` in a process of its own → (process, URL, what it printed up to then).

    With ``host_name`` it runs on a machine of that name, as far as it can tell.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    environment |= {"PARLEY_DATA_DIR": str(folder), "PARLEY_ENGINE": "loopback", "PARLEY_TWILIO_AUTH_TOKEN": TOKEN}
    environment |= {"PARLEY_DRAIN_S": drain_s, "PARLEY_MAX_LOOP_LAG_MS": "0"} | settings
    named = f"import socket; socket.gethostname = lambda: {host_name!r}; from agent.cli import main; main()"
    command = [sys.executable, *(("-c", named) if host_name else ("-m", "agent.cli"))]
    command += ["serve", "--port", "0", *arguments]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stderr=PIPE)
    assert process.stderr is not None
    printed = ""
    try:
        while (found := re.search(r"Console +(http://\S+?)/\s", printed)) is None or "Webhook" not in printed:
            line = await asyncio.wait_for(process.stderr.readline(), 60)
            assert line, f"it ended:\n{printed}"
            printed += line.decode()
        yield process, found[1], printed
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        print((await process.communicate())[1].decode())  # shown where the test fails


class Listening(ScriptedCaller):
    """Speaks from the first; ``heard`` is set once the agent is heard, however long a busy machine takes for it."""

    def __init__(self, *steps: Step) -> None:
        super().__init__(steps, patience_ms=100)
        self.heard = asyncio.Event()

    def tick(self, at_ms: int, ear: AgentEar) -> Act:
        if ear.speaking:
            self.heard.set()
        return super().tick(at_ms, ear)


async def talk(url: str, *steps: Step) -> asyncio.Task[CallResult]:
    """Ring and take the steps; return once the agent has been heard."""
    listening = Listening(*steps)
    talking = asyncio.create_task(Phone(url, TOKEN).call(listening, to_number=NUMBER))
    await asyncio.wait_for(listening.heard.wait(), 30)
    return talking


async def test_a_server_that_is_killed_and_one_that_is_told_to_stop(tmp_path: Path, furnished: Path) -> None:
    shutil.copyfile(furnished, tmp_path / "parley.db")
    endless = Say("", np.tile(burst(7), 20), at_ms=0)
    async with server_process(tmp_path) as (process, url, printed):
        assert f"{url}/twilio/voice" in printed
        assert "loopback" in printed
        talking = await talk(url, endless)
        await asyncio.sleep(3)
        process.send_signal(signal.SIGKILL)
        killed = await talking

    async with server_process(tmp_path) as (process, url, _):
        talking = await talk(url, endless)
        process.send_signal(signal.SIGTERM)
        stopped = await talking
        assert await asyncio.wait_for(process.wait(), 10) == 0

    row = await _row(tmp_path, killed.call_id)
    assert (row.status, row.outcome) == ("lost", "gateway_lost")
    assert row.reason
    with wave.open(str(tmp_path / "recordings" / row.recording)) as file:
        assert file.getnframes() / file.getframerate() > 1.2
        caller_track = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)[:, 0]
    assert abs(offset_ms(caller_track, burst(7))) % 1_000 <= MOST_OFF_MS

    assert stopped.ended_by == "agent"
    assert stopped.sentences, "the caller is told why"
    row = await _row(tmp_path, stopped.call_id)
    assert (row.status, row.outcome) == ("ended", "gateway_lost")
    assert row.recording


async def _row(folder: Path, call_id: str) -> Call:
    database = Database(load(data_dir=folder).database)
    try:
        return await ended_row(CallStore(database), call_id)
    finally:
        await database.close()
