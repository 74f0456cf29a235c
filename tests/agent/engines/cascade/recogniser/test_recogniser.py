"""The recogniser with its processes: right words at right times, no mixing, and what happens when a process dies."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.duplex import EngineUnavailable, RoleCard
from agent.engines.cascade.recogniser import make_recogniser
from agent.engines.cascade.recogniser.messages import answer_of, card_key, transcript_of
from agent.engines.cascade.recogniser.pool import Pool, WorkerLost
from agent.engines.cascade.recogniser.recogniser import PocketsphinxRecogniser

Speak = Callable[..., NDArray[np.int16]]


@pytest.fixture(name="recogniser")
async def _recogniser() -> AsyncIterator[PocketsphinxRecogniser]:
    recogniser = PocketsphinxRecogniser(1)
    await recogniser.start()
    yield recogniser
    await recogniser.close()


async def test_words_with_times_and_confidences(
    recogniser: PocketsphinxRecogniser, parcels: RoleCard, speak: Speak
) -> None:
    session = await recogniser.open(parcels)
    audio = speak("Where is my parcel?")
    heard = await session.transcribe(audio)
    assert "parcel" in heard.text.split()
    assert [word.start_ms for word in heard.words] == sorted(word.start_ms for word in heard.words)
    assert all(word.start_ms < word.end_ms for word in heard.words)
    assert all(0.0 <= word.confidence <= 1.0 for word in heard.words)
    length_ms = len(audio) / 8
    assert 350 < heard.words[0].start_ms < 900
    assert length_ms - 1_200 < heard.words[-1].end_ms <= length_ms
    assert heard.text not in heard.alternatives
    later = await session.transcribe(np.concatenate([np.zeros(8_000, np.int16), audio]))
    assert later.words[0].start_ms - heard.words[0].start_ms == pytest.approx(1_000, abs=30)
    assert answer_of(transcript_of(answer_of(heard))) == answer_of(heard)


async def test_two_cards_at_once_are_not_mixed(
    recogniser: PocketsphinxRecogniser, parcels: RoleCard, yoga: RoleCard, speak: Speak
) -> None:
    one, two = await recogniser.open(parcels), await recogniser.open(yoga)
    assert card_key(parcels) != card_key(yoga)
    lines = [(one, "Where is my parcel?", "parcel"), (two, "When is the yoga class?", "yoga")] * 3
    heard = await asyncio.gather(*(session.transcribe(speak(line)) for session, line, _ in lines))
    for transcript, (_, _, word) in zip(heard, lines, strict=True):
        assert word in transcript.text.split()


async def test_nothing_short_and_noise_are_empty(recogniser: PocketsphinxRecogniser, parcels: RoleCard) -> None:
    session = await recogniser.open(parcels)
    rng = np.random.default_rng(0)
    click = np.zeros(8_000, np.int16)
    click[4_000:4_040] = 9_000
    for audio in (
        np.zeros(0, np.int16),
        np.zeros(16_000, np.int16),
        np.full(800, 5_000, np.int16),
        click,
        (rng.normal(size=12_000) * 1_000).astype(np.int16),
        (rng.normal(size=12_000) * 10).astype(np.int16),
    ):
        assert (await session.transcribe(audio)).words == ()


async def test_a_killed_process_costs_one_utterance(
    recogniser: PocketsphinxRecogniser, parcels: RoleCard, speak: Speak
) -> None:
    session = await recogniser.open(parcels)
    audio = speak("Where is my parcel?")
    (pid,) = recogniser.pids
    async with asyncio.TaskGroup() as tasks:
        lost = tasks.create_task(session.transcribe(np.tile(audio, 4)))
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
    assert lost.result().words == ()
    assert recogniser.pids != [pid]
    assert "parcel" in (await session.transcribe(audio)).text.split()


async def test_a_hung_process_is_replaced(parcels: RoleCard) -> None:
    pool = Pool(1)
    await pool.start()
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerLost):
        await pool.ask(b"{}", timeout_s=0.2)
    assert pool.pids != [pid]
    await pool.close()
    assert pool.pids == []


async def test_who_gives_up_waiting_does_not_upset_the_next(
    recogniser: PocketsphinxRecogniser, parcels: RoleCard, yoga: RoleCard, speak: Speak
) -> None:
    one, two = await recogniser.open(parcels), await recogniser.open(yoga)
    (pid,) = recogniser.pids
    parcel, class_ = speak("Where is my parcel?"), speak("When is the yoga class?")
    for pause_s in (0.0, 0.02, 0.1):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(pause_s):
                await one.transcribe(np.tile(parcel, 3))
        assert "yoga" in (await two.transcribe(class_)).text.split()
    assert recogniser.pids == [pid]


def test_processes_end_with_a_parent_that_is_killed() -> None:
    program = (
        "import asyncio\n"
        "from agent.engines.cascade.recogniser.pool import Pool\n"
        "async def main():\n"
        "    pool = Pool(1)\n"
        "    await pool.start()\n"
        "    print(pool.pids[0], flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_number_of_workers_is_checked() -> None:
    with pytest.raises(EngineUnavailable, match="PARLEY_RECOGNISER_WORKERS must be a whole number"):
        make_recogniser({"recogniser_workers": "two"})


async def test_a_cards_models_outlive_the_recogniser_but_not_with_a_customers_name(
    tmp_path: Path, parcels: RoleCard, speak: Speak
) -> None:
    made = []
    for name in ("", "", "Zelda Quimby"):
        recogniser = PocketsphinxRecogniser(1, tmp_path)
        await recogniser.start()
        session = await recogniser.open(replace(parcels, customer_name=name))
        assert "parcel" in (await session.transcribe(speak("Where is my parcel?"))).text.split()
        await recogniser.close()
        made.append(_inodes(tmp_path))
    assert sorted(name.partition(".")[2] for name in made[0]) == ["dict", "dict.sum", "lm", "lm.sum"]
    assert made[0] == made[1] == made[2]
    assert not _mention(tmp_path, b"quimby")


def _inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def _mention(folder: Path, word: bytes) -> bool:
    return any(word in path.read_bytes() for path in folder.iterdir())
