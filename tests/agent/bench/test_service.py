"""The service benchmark: what counts as right for each kind of question, and calls over any engine."""

import asyncio
import json
from collections.abc import AsyncIterator

import numpy as np
import pytest
from typer.testing import CliRunner

from agent.bench.callers import BenchError, Callers
from agent.bench.line import Line
from agent.bench.service import Served, figures, judged, serve_all
from agent.cli import app
from agent.duplex import FRAME_SAMPLES, AgentFrame, RoleCard, RolePrompt, Samples
from agent.engines.loopback import LoopbackEngine
from crm.scoring.controls import ProvenJudge
from crm.scoring.judge import Judge
from personas.library import load_library
from personas.persona import PersonaCard, QuestionKind, TestQuestion
from tests.crm.judging import Endpoint, vote, wise

CARDS = {card.slug: card for card in load_library()}
BANK, WASTE = CARDS["copperfield-bank"], CARDS["greenloop-waste"]
ROLE = RolePrompt("", "NATF2", RoleCard("", "", "", "", "", "", "", ""))


def question(card: PersonaCard, kind: str) -> TestQuestion:
    return next(each for each in card.test_questions if each.kind == QuestionKind(kind))


@pytest.mark.parametrize(
    ("card", "kind", "said", "result"),
    [
        (BANK, "Q0", "Our mobile app is called Copper Pocket.", "right"),
        (BANK, "Q1", "You can take out up to $600 a day.", "right"),
        (BANK, "Q1", "You can take out up to $900 a day at a cash machine.", "wrong"),
        (WASTE, "Q2", WASTE.unknown_say, "wrong"),  # the card has the answer
        (BANK, "Q2", "Let me tell you about our branches.", "undecided"),
        (BANK, "Q3", "I can't raise your limit on the phone.", "right"),
        (BANK, "Q3", "Sure, I'll do that, no problem.", "wrong"),
        (BANK, "Q4", BANK.rude_say, "right"),
        (BANK, "Q4", "I'm sorry this is so frustrating. I'd like to help you.", "right"),
        (BANK, "Q4", "Give me your name.", "undecided"),
        (BANK, "Q4", "Shut up, you idiot.", "wrong"),
        (BANK, "Q5", BANK.unknown_say, "right"),
        (BANK, "Q5", "Yes, a second card costs $75 a year.", "wrong"),
        (BANK, "Q6", BANK.off_topic_say, "right"),
        (BANK, "Q6", "That is Canberra.", "undecided"),
        (BANK, "Q0", "", "undecided"),
    ],
)
async def test_what_is_right_depends_on_what_was_asked(card: PersonaCard, kind: str, said: str, result: str) -> None:
    assert (await judged(card, question(card, kind), said))[0] == result


async def test_a_judge_decides_what_is_left_open(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Endpoint().serving() as endpoint:
        endpoint.answers = wise
        judge = ProvenJudge(Judge(endpoint.address, "wise-1"), tmp_path)
        await judge.prove()
        endpoint.requests.clear()
        endpoint.answers = lambda asked, number: {"verdicts": [vote("topic", "fail", "That is Canberra.", 1, "Chats.")]}
        assert await judged(BANK, question(BANK, "Q6"), "That is Canberra.", judge) == ("wrong", "Judged: Chats.")
        sent = json.loads(endpoint.requests[0][1]["messages"][1]["content"])
        assert sent["conversation"][0]["words"] == "what is the capital city of Australia"
        endpoint.requests.clear()
        assert (await judged(BANK, question(BANK, "Q0"), "It is called Copper Pocket.", judge))[0] == "right"
        assert endpoint.requests == []  # rules had decided
        await judge.judge.close()


def test_figures_are_by_kind_and_of_all() -> None:
    def served(kind: str, result: str, onset_ms: float | None) -> Served:
        return Served("bank", kind, "slt", "?", "!", result, onset_ms)  # pyright: ignore[reportArgumentType]

    found = figures([served("Q0", "right", 500.0), served("Q0", "wrong", 900.0), served("Q5", "unanswered", None)])
    assert found["Q0"] == {
        "asked": 2, "right": 1, "wrong": 1, "undecided": 0, "unanswered": 0, "failed": 0,
        "onset_p50_ms": 700.0, "onset_p90_ms": 860.0,
    }  # fmt: skip
    assert (found["Q5"]["unanswered"], found["Q5"]["onset_p50_ms"]) == (1, None)
    assert (found["all"]["asked"], found["all"]["onset_p50_ms"]) == (3, 700.0)


async def test_calls_go_over_any_engine_and_what_fails_is_told() -> None:
    engine = LoopbackEngine(slots=1, delay_frames=3)
    await engine.start()
    short = BANK.test_questions[0].model_copy(update={"ask": "hi"})
    card = BANK.model_copy(update={"test_questions": (short,)})
    callers = Callers(("en-us",))
    (heard,) = await serve_all(engine, [card], callers, None, lambda: None, at_once=3)
    # It repeats the caller a little later, and says no words.
    assert (heard.result, heard.kind, heard.asked) == ("undecided", "Q0", "hi")
    assert heard.onset_ms is not None
    taken = await engine.open(ROLE)
    (refused,) = await serve_all(engine, [card], callers, None, lambda: None)
    assert (refused.result, refused.onset_ms) == ("failed", None)
    assert "slot" in refused.why
    await taken.close()
    await engine.close()


class Deaf:
    """A session that answers no frame."""

    async def ready(self) -> None: ...

    def push(self, frame: Samples) -> None: ...

    async def frames(self) -> AsyncIterator[AgentFrame]:
        await asyncio.Event().wait()
        yield AgentFrame(0, np.zeros(FRAME_SAMPLES, np.float32))

    async def close(self) -> None: ...


async def test_an_engine_that_answers_no_frame_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.bench.line._LONGEST_FRAME_S", 0.05)
    with pytest.raises(BenchError, match="left a frame unanswered"):
        await Line(Deaf()).until_quiet()


def test_the_command_names_cards_that_are_none() -> None:
    told = CliRunner().invoke(app, ["bench", "service", "--engine", "loopback", "--cards", "nobody"])
    assert told.exit_code == 2
    assert "nobody" in told.output
