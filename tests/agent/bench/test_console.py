"""The console's bench: a made-up history that the log takes for its own, and pages measured over a real socket."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from agent.bench.console.filling import NotEmpty, check_empty, fill, personas_of
from agent.bench.console.history import DAYS, GATEWAY, History, Persona
from agent.bench.console.log import STEPS, write_calls
from agent.bench.console.run import Plan, measure, spread
from agent.cli import app
from crm.analytics import Analytics
from crm.store import CallStore
from crm.tables import CallRow
from personas.db import Database
from personas.library import load_library

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)


async def test_a_history_is_what_the_log_would_hold(database_url: str, database: Database) -> None:
    check_empty(database_url)
    history = History(await personas_of(database_url), NOW)
    added: list[int] = []
    for batch in range(2):
        fill(database_url, history, 150, batch, added.append)
    assert added == [150, 150]
    with pytest.raises(NotEmpty, match="has calls"):
        check_empty(database_url)
    figures = await Analytics(database).figures()
    assert len({each.slug for each in figures.personas}) == 10
    assert figures.timing.measured > 200
    assert {each.outcome for each in figures.outcomes} > {"caller_hung_up", "agent_hung_up", "transferred"}
    async with database.session() as session:
        ends = select(func.min(CallRow.created_at), func.max(CallRow.created_at))
        first, last = (await session.execute(ends)).one()
        gateways = set(await session.scalars(select(CallRow.gateway).distinct()))
    assert NOW - timedelta(DAYS + 1) <= first < last <= NOW
    assert gateways == {GATEWAY}
    steps = await write_calls(database, 2)  # ids go on where those that were made end
    assert [len(steps.ms[step]) for step in STEPS] == [2] * 4
    assert await CallStore(database).left_behind() == []


def test_the_same_seed_makes_the_same_calls() -> None:
    personas = [Persona(card, [(1, 0.0)]) for card in load_library()[:2]]

    def made(seed: int) -> list[object]:
        return list(History(personas, NOW, seed).batches(20, 0))

    assert made(1) == made(1) != made(2)


async def test_pages_are_measured_as_a_user_reaches_them(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/parley.db"
    found = await measure(Plan(url, tmp_path, calls=200, times=1, seed=0, only="CSV"), lambda what: None)
    (size,) = found["sizes"]
    assert json.dumps(found)
    pages = {page["page"]: page for page in size["pages"]}
    assert all(page["whole_ms"]["max"] > 0 for page in pages.values())
    assert pages["CSV of everything"]["bytes"] > 200 * 100
    assert set(size["log_ms"]) == set(STEPS)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_in_use_is_not_filled(database_url: str) -> None:
    personas = asyncio.run(personas_of(database_url))
    fill(database_url, History(personas, NOW), 1, 0, lambda number: None)
    refused = CliRunner().invoke(app, ["bench", "console", "--calls", "200", "--database-url", database_url])
    assert (refused.exit_code, "has calls" in refused.output) == (1, True)


def test_a_spread_is_of_all_values() -> None:
    assert spread([1.0, 2.0, 3.0]) == {"p50": 2.0, "p95": 2.9, "max": 3.0}
    assert spread([]) == {"p50": 0.0, "p95": 0.0, "max": 0.0}
