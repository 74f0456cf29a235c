"""Several processes on one port: calls on all of them, one killed, all drained."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import httpx

from agent.settings import load
from crm.store import CallStore
from personas.db import Database
from telephony.simulator import Phone
from telephony.simulator.callers import HangUp, Pause, Say
from tests.agent.exchange import NUMBER, TOKEN, burst, ended_row
from tests.journeys.test_call import caller, server_process, talk


def workers_of(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


async def until_there_are(count: int, pid: int) -> set[int]:
    async with asyncio.timeout(30):
        while True:
            if len(found := workers_of(pid)) >= count:
                return found
            await asyncio.sleep(0.1)


async def outcomes_of(calls: int, url: str) -> dict[str, float]:
    """Return how many calls ended how, once so many did: they are counted when their recordings are closed."""
    async with asyncio.timeout(15), httpx.AsyncClient(trust_env=False) as http:
        while True:
            text = (await http.get(url + "/metrics")).text
            lines = [line for line in text.splitlines() if line.startswith("parley_calls_total{")]
            counts = {line.split('"')[1]: float(line.split()[-1]) for line in lines}
            if sum(counts.values()) >= calls:
                return counts
            await asyncio.sleep(0.1)


async def test_calls_go_on_when_a_worker_is_killed_and_when_all_are_told_to_stop(
    tmp_path: Path, furnished: Path
) -> None:
    shutil.copyfile(furnished, tmp_path / "parley.db")
    async with server_process(tmp_path, "--workers", "2", drain_s="20") as (process, url, printed):
        assert "in each of 2 processes" in printed
        phone = Phone(url, TOKEN)
        pids = await until_there_are(2, process.pid)
        # Webhook and media socket of a call may meet different workers.
        results = await asyncio.gather(*(phone.call(caller(seed), to_number=NUMBER) for seed in range(4)))
        assert [result.ended_by for result in results] == ["caller"] * 4
        assert all(result.heard.any() for result in results)
        assert await outcomes_of(4, url) == {"caller_hung_up": 4}  # of both processes, whichever is asked

        os.kill(pids.pop(), signal.SIGKILL)
        await until_there_are(2, process.pid)
        again = await asyncio.gather(*(phone.call(caller(seed), to_number=NUMBER) for seed in range(4)))
        assert [result.ended_by for result in again] == ["caller"] * 4

        talking = await talk(url, Say("", burst(9), at_ms=0), Pause(1_000), HangUp())
        process.send_signal(signal.SIGTERM)
        finished = await talking
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert finished.ended_by == "caller", "a call that ends in time is not cut"
    database = Database(load(data_dir=tmp_path).database)
    row = await ended_row(CallStore(database), finished.call_id)
    await database.close()
    assert (row.status, row.outcome) == ("ended", "caller_hung_up")
