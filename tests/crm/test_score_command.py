"""`parley score` on a real database."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent import settings
from agent.cli import app
from crm.call import Turn
from crm.scoring import judge
from crm.store import CallStore
from personas.db import Database
from personas.library import load_library
from personas.store import PersonaStore
from tests.crm.judging import Endpoint, vote, wise

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def call_id(database: Database, new_call) -> str:
    """A call that was answered by a persona of the library and has turns."""
    personas, store = PersonaStore(database), CallStore(database)
    await personas.import_cards([card for card in load_library() if card.slug == "greenloop-waste"])
    version = await personas.published("greenloop-waste")
    opened = await store.open_call(new_call(persona_version_id=version.id))
    turns = [
        Turn("agent", 0, 900, "GreenLoop Services, this is Victor. How can I help you today?"),
        Turn("caller", 1_000, 1_900, "what does it cost to get rid of a sofa"),
        Turn("agent", 2_000, 2_900, "That's $90."),
    ]
    await store.finish(opened.call.id, status="ended", outcome="caller_hung_up", turns=turns)
    await store.open_call(new_call("CA2"))
    return opened.call.id


@pytest.fixture
def parley(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a command on the test's database."""
    monkeypatch.setenv("PARLEY_DATABASE_URL", database_url)
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path))
    settings.settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, ["score", *arguments])
    settings.settings.cache_clear()


@SQLITE
def test_verdicts_come_with_their_quotes(parley, call_id: str):
    shown = parley(call_id)
    assert shown.exit_code == 0
    assert "That's $90." in shown.stdout
    assert call_id in shown.stdout


@SQLITE
def test_json_has_everything_and_scoring_again_adds(parley, call_id: str):
    (first,) = json.loads(parley("--unscored", "--json").stdout)
    assert first["call_id"] == call_id
    (wrong,) = [verdict for verdict in first["verdicts"] if verdict["result"] == "fail"]
    assert (wrong["criterion_id"], wrong["quote"], wrong["turn_index"]) == ("fact:bulky_price", "That's $90.", 2)
    assert json.loads(parley("--unscored", "--json").stdout) == []
    assert len(json.loads(parley("--all", "--json").stdout)) == 1


@SQLITE
async def test_scores_keep_their_history_and_version(parley, call_id: str, store: CallStore):
    for _ in range(2):
        assert (await asyncio.to_thread(parley, call_id)).exit_code == 0
    scores = await store.scores(call_id)
    assert len(scores) == 2
    assert scores[0].persona_version_id == (await store.call(call_id)).persona_version_id


@SQLITE
def test_what_cannot_be_scored_says_why(parley, call_id: str):
    nobody = parley("0" * 32)
    assert nobody.exit_code == 1
    assert "no call" in nobody.output
    assert parley().exit_code == 2
    assert parley(call_id, "--all").exit_code == 2


@SQLITE
async def test_a_judge_decides_what_the_rules_leave_open(
    parley, call_id: str, store: CallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Endpoint().serving() as endpoint:

        def answers(question: dict[str, Any], number: int) -> object:
            if "Hillside" in question["role"]:
                return wise(question, number)
            return {"verdicts": [vote("calm", "pass", "How can I help you today?", 0)]}

        endpoint.answers = answers
        monkeypatch.setenv("PARLEY_JUDGE_BASE_URL", endpoint.address)
        monkeypatch.setenv("PARLEY_JUDGE_MODEL", "wise-1")
        checked = await asyncio.to_thread(parley, "--check-judge")
        assert checked.exit_code == 0, checked.output
        assert "stays calm under an insult" in checked.stdout
        assert (await asyncio.to_thread(parley, call_id)).exit_code == 0
        (score,) = await store.scores(call_id)
        assert score.card.scorer.startswith("deterministic/1 + wise-1@")
        verdicts = {verdict.criterion_id: verdict for verdict in score.card.verdicts}
        assert (verdicts["calm"].result, verdicts["calm"].turn_index) == ("pass", 0)
        assert verdicts["fact:bulky_price"].result == "fail"  # what rules decided stands

        endpoint.answers = lambda question, number: {"verdicts": [vote("control", "pass", "A", 0)]}
        checked = await asyncio.to_thread(parley, "--check-judge", "--json")
        assert checked.exit_code == 1
        polite = {"case": "a polite caller gives no occasion", "wanted": "na", "found": "unresolved"}
        assert polite in json.loads(checked.stdout)


@SQLITE
async def test_a_judge_that_is_away_keeps_no_call_from_its_score(
    parley, call_id: str, store: CallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "_TRIES_AFTER_S", (0.0,))
    monkeypatch.setenv("PARLEY_JUDGE_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("PARLEY_JUDGE_MODEL", "wise-1")
    told = await asyncio.to_thread(parley, call_id)
    assert told.exit_code == 0
    assert "The judge is not reached (ConnectError)" in told.stderr
    assert [score.card.scorer for score in await store.scores(call_id)] == ["deterministic/1"]


@SQLITE
async def test_a_judge_that_is_back_is_asked_by_hand(
    parley, call_id: str, store: CallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "_TRIES_AFTER_S", (0.0,))
    monkeypatch.setenv("PARLEY_JUDGE_MODEL", "wise-1")
    monkeypatch.setenv("PARLEY_JUDGE_BASE_URL", "http://127.0.0.1:9/v1")
    assert (await asyncio.to_thread(parley, "--unscored")).exit_code == 0
    assert (await store.call(call_id)).score_due_at
    away = await asyncio.to_thread(parley, "--unjudged")
    assert "is not reached" in str(away.exception)
    async with Endpoint().serving() as endpoint:
        endpoint.answers = lambda question, number: (
            wise(question, number) if "Hillside" in question["role"] else {"verdicts": [vote("calm", "na")]}
        )
        monkeypatch.setenv("PARLEY_JUDGE_BASE_URL", endpoint.address)
        settings.settings.cache_clear()
        (judged,) = json.loads((await asyncio.to_thread(parley, "--unjudged", "--json")).stdout)
        assert (judged["call_id"], "wise-1" in judged["scorer"]) == (call_id, True)
        assert json.loads((await asyncio.to_thread(parley, "--unjudged", "--json")).stdout) == []
    assert [score.card.scorer[:19] for score in await store.scores(call_id)] == [
        "deterministic/1 + w",
        "deterministic/1",
    ]


@SQLITE
@pytest.mark.parametrize("option", ["--check-judge", "--unjudged"])
def test_without_a_judge_there_is_none_to_check(parley, call_id: str, option: str) -> None:
    told = parley(option)
    assert told.exit_code == 1
    assert "set PARLEY_JUDGE_BASE_URL and PARLEY_JUDGE_MODEL" in str(told.exception)
