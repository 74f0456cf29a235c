"""Beside `parley serve`: calls get their scores and are erased unasked, by processes that end with the server."""

import asyncio
import os
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import update

from agent.settings import load
from crm.call import NewCall, Turn
from crm.store import CallStore
from crm.tables import CallRow
from personas.db import Database
from personas.store import PersonaStore
from tests.agent.exchange import TOKEN

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60


async def ended_call(database: Database, name: str = "CA1") -> str:
    """Log a call that has ended and has no score."""
    version = await PersonaStore(database).published("acme-help")
    calls = CallStore(database)
    new = NewCall("twilio", name, "AC1", "+15550001", "+15550100", "acme-help", version.id, "Acme help", "loopback")
    call_id = (await calls.open_call(new)).call.id
    turns = [Turn("caller", 0, 900, "what is the price"), Turn("agent", 1_000, 1_900, "It costs $5.")]
    await calls.finish(call_id, status="ended", outcome="caller_hung_up", turns=turns)
    return call_id


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_calls_are_scored_and_erased_unasked_and_a_killed_server_leaves_nobody(
    tmp_path: Path, furnished: Path
) -> None:
    shutil.copyfile(furnished, tmp_path / "parley.db")
    database = Database(load(data_dir=tmp_path).database)
    call_id, old = await ended_call(database), await ended_call(database, "CA2")
    async with database.session() as session:
        forty_days_ago = datetime.now(UTC) - timedelta(40)
        await session.execute(update(CallRow).where(CallRow.id == old).values(created_at=forty_days_ago))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    environment |= {"PARLEY_DATA_DIR": str(tmp_path), "PARLEY_ENGINE": "loopback", "PARLEY_TWILIO_AUTH_TOKEN": TOKEN}
    environment |= {"PARLEY_KEEP_CALLS_DAYS": "30", "PARLEY_MAX_LOOP_LAG_MS": "0"}
    command = [sys.executable, "-m", "agent.cli", "serve", "--port", "0"]
    server = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
    try:
        async with asyncio.timeout(PATIENCE_S):
            calls = CallStore(database)
            while not (scores := await calls.scores(call_id)) or not (await calls.call(old)).is_anonymous:
                assert server.returncode is None
                await asyncio.sleep(0.1)
        verdicts = {verdict.criterion_id: verdict.result for verdict in scores[0].card.verdicts}
        assert verdicts["fact:price"] == "pass"

        beside = children(server.pid)
        assert len(beside) == 2
        server.send_signal(signal.SIGKILL)
        await server.wait()
        async with asyncio.timeout(PATIENCE_S):
            while any(lives(pid) for pid in beside):  # noqa: ASYNC110  the processes are not ours to wait for
                await asyncio.sleep(0.05)
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
        await database.close()
