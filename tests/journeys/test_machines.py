"""Two machines on one PostgreSQL with one folder of recordings, two processes on one of them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from agent.neighbours.neighbours import CUT_OFF
from crm.store import CallStore
from personas.audit import AuditFilter, AuditLog
from personas.db import Database
from telephony.simulator.callers import HangUp, Pause, Press, Say
from tests.agent.exchange import burst, ended_row, furnish
from tests.agent.test_live_page import token_of
from tests.journeys.test_call import server_process, talk

ENDLESS = (Say("", burst(9), at_ms=0), Press("0"), Pause(60_000), HangUp())
NOTED = '"handoff impossible dtmf"'


@asynccontextmanager
async def signed_in(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        form = {"name": "admin", "password": "correct horse"}
        form["csrf_token"] = token_of((await http.get("/login")).text)
        assert (await http.post("/login", data=form)).status_code == 303
        yield http


async def live_page(http: httpx.AsyncClient) -> str:
    """The address of the only live call's page."""
    found = re.search(r'href="(/calls/[0-9a-f]{32})"', (await http.get("/calls?status=live")).text)
    assert found
    return found[1]


async def until(sign: str, http: httpx.AsyncClient, page: str) -> None:
    """Follow a live call's page until it shows something."""
    async with http.stream("GET", page + "/live") as answer:
        async for line in answer.aiter_lines():
            if sign in line:
                return
    raise AssertionError(f"it ended without {sign}")


@pytest.mark.parametrize("database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_any_process_shows_and_ends_any_call(tmp_path: Path, database_url: str) -> None:
    await furnish(database_url)
    shared = {"PARLEY_DATABASE_URL": database_url, "PARLEY_RECORDINGS_DIR": str(tmp_path / "recordings")}
    shared |= {"PARLEY_PEER_ADDRESS": "127.0.0.1", "PARLEY_SESSION_SECRET": "s" * 32, "PARLEY_SCORE_CALLS": "false"}
    async with AsyncExitStack() as stack:
        starts = (server_process(tmp_path / name, host_name=name, **shared) for name in ("east", "east", "west"))
        running = await asyncio.gather(*(stack.enter_async_context(each) for each in starts))
        (process, carrying, _), (_, beside, _), (_, away, _) = running
        beside, away = [await stack.enter_async_context(signed_in(url)) for url in (beside, away)]
        async with asyncio.timeout(60):
            talking = await talk(carrying, *ENDLESS)
            page = await live_page(away)
            shown = (await away.get(page)).text
            assert "Time running" in shown
            async with asyncio.TaskGroup() as group:
                over = group.create_task(until("event: over", beside, page))
                for http in (beside, away):
                    await until(NOTED, http, page)
                # No carrier's API is set: the machine that carries the call ends it.
                ended = await away.post(page + "/hang-up", data={"csrf_token": token_of(shown)})
                assert ended.status_code == 303
            assert over.done()
            hung_up = await talking

            talking = await talk(carrying, *ENDLESS)
            page = await live_page(away)
            async with asyncio.TaskGroup() as group:
                cut_off = group.create_task(until(CUT_OFF, away, page))
                await until(NOTED, beside, page)
                process.kill()
            assert cut_off.done()
            assert "can’t be asked from here" in (await away.get(page)).text
            talking.cancel()
        database = Database(database_url)
        stack.push_async_callback(database.close)
        row = await ended_row(CallStore(database), hung_up.call_id)
        assert (row.outcome, row.reason) == ("agent_hung_up", "admin ended the call from its page.")
        assert (await away.get(f"/calls/{row.id}/recording")).headers["content-type"] == "audio/wav"
        entries = (await AuditLog(database).entries(AuditFilter(action="call_hung_up"))).entries
        assert [(each.actor.name, each.subject.id, each.detail) for each in entries] == [("admin", row.id, "")]
