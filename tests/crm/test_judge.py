"""The judge over real sockets: what it may decide, what it may not, and endpoints that fail."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crm.call import Scorecard, Turn, Verdict, VerdictResult
from crm.errors import JudgeRefused, JudgeUnavailable
from crm.scoring import controls, judge
from crm.scoring.controls import Control, ProvenJudge, tried
from crm.scoring.judge import Judge, Question
from tests.crm.judging import Answers, Endpoint, vote, wise

TURNS = (
    Turn("agent", 0, 900, "Hillside Rentals, this is Ann."),
    Turn("caller", 1_000, 1_900, "can you knock something off"),
    Turn("agent", 2_000, 2_900, "I'm afraid I can't. Anything else?"),
)


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
    monkeypatch.setattr(judge, "_TRIES_AFTER_S", (0.0, 0.01, 0.01))
    async with Endpoint().serving() as endpoint:
        yield endpoint


@pytest.fixture
async def asked(endpoint: Endpoint) -> AsyncIterator[Judge]:
    found = Judge(endpoint.address, "wise-1", "k3y", timeout_s=5)
    yield found
    await found.close()


def verdict(name: str, result: VerdictResult, quote: str = "", turn: int | None = None) -> Verdict:
    return Verdict(name, f"About {name}.", result, "major", 1.0, quote, turn, "By rules.")


def card(*verdicts: Verdict) -> Scorecard:
    return Scorecard("deterministic/1", "hash", None, 0.0, verdicts)


def voting(*votes: dict[str, Any]) -> Answers:
    return lambda question, number: {"verdicts": list(votes)}


async def test_what_is_open_is_asked_and_what_is_decided_stays(endpoint: Endpoint, asked: Judge) -> None:
    endpoint.answers = voting(
        vote("rule:discount", "pass", "I'm afraid I can't."),
        vote("fact:price", "fail", "I'm afraid I can't."),
        vote("calm", "na"),
        vote("nobody-asked", "fail", "I'm afraid"),
    )
    before = card(
        verdict("rule:discount", "unresolved"),
        verdict("fact:price", "pass", "Hillside", 0),
        verdict("calm", "na"),
        verdict("role", "unresolved"),
    )
    found = await asked.judged(before, "You are Ann.", TURNS)
    assert [each.result for each in found.verdicts] == ["pass", "pass", "na", "unresolved"]
    judged = found.verdicts[0]
    assert (judged.quote, judged.turn_index, judged.reason) == ("I'm afraid I can't.", 2, "Judged: Because.")
    assert found.verdicts[1:] == before.verdicts[1:]
    assert (found.score, found.coverage) == (pytest.approx(2 / 3, abs=1e-4), pytest.approx(2 / 3, abs=1e-4))
    assert found.scorer == f"deterministic/1 + wise-1@{judge.PROMPT_HASH}"
    assert len(endpoint.requests) == 3
    key, body = endpoint.requests[0]
    assert key == "bearer k3y"
    assert (body["model"], body["response_format"]) == ("wise-1", {"type": "json_object"})
    question = json.loads(body["messages"][1]["content"])
    assert question["role"] == "You are Ann."
    assert question["conversation"][1] == {"turn": 1, "who": "caller", "words": "can you knock something off"}
    assert [each["id"] for each in question["criteria"]] == ["rule:discount", "calm"]


async def test_nobody_is_asked_where_nothing_is_open(endpoint: Endpoint, asked: Judge) -> None:
    before = card(verdict("identity", "pass", "Ann", 0), verdict("loops", "na"))
    assert await asked.judged(before, "", TURNS) == before
    assert await asked.judged(card(verdict("calm", "na")), "x" * judge.MOST_CHARACTERS, TURNS)
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("votes", "reason"),
    [
        (("pass", "pass", "fail"), "The votes differ: pass, pass, fail."),
        (("pass", "na", "unresolved"), "The votes differ: pass, na, unresolved."),
    ],
)
async def test_votes_that_differ_decide_nothing(
    endpoint: Endpoint, asked: Judge, votes: tuple[str, ...], reason: str
) -> None:
    endpoint.answers = lambda question, number: {"verdicts": [vote("calm", votes[number - 1], "Ann", 0)]}
    before = verdict("calm", "unresolved")
    agreed = (await asked.ask(Question({"calm": "Stays calm."}, "", TURNS)))["calm"]
    assert (agreed.verdict, sorted(agreed.reason)) == ("unresolved", sorted(reason))
    endpoint.requests.clear()
    assert (await asked.judged(card(before), "", TURNS)).verdicts == (before,)


@pytest.mark.parametrize(
    ("quote", "turn", "result", "place"),
    [
        ("I'm afraid I can't.", 2, "fail", 2),
        ("I'm afraid I can't.", 0, "fail", 2),  # the quote counts, not the number
        ("I'm afraid I can't.", None, "fail", 2),
        ("I am afraid I can't.", 2, "unresolved", None),
        ("can you knock something off", 1, "unresolved", None),  # the caller's words are no evidence
        ("", 2, "unresolved", None),
    ],
)
async def test_a_verdict_stands_on_the_agents_words(
    endpoint: Endpoint, asked: Judge, quote: str, turn: int | None, result: str, place: int | None
) -> None:
    endpoint.answers = voting(vote("calm", "fail", quote, turn))
    found = (await asked.judged(card(verdict("calm", "unresolved")), "", TURNS)).verdicts[0]
    assert (found.result, found.turn_index) == (result, place)


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ('```json\n{"verdicts": [{"id": "calm", "verdict": "na"}]}\n```', "na"),
        ('Here you are: {"verdicts": [{"id": "calm", "verdict": "na"}]}', "na"),
        ("I would say it passes.", "unresolved"),
        ("", "unresolved"),
        ("}{", "unresolved"),
        ('{"verdicts": [{"id": "calm", "verdict": "perfect"}]}', "unresolved"),
        ('{"verdicts": {}}', "unresolved"),
        ('{"verdicts": []}', "unresolved"),
        ("[1, 2]", "unresolved"),
    ],
)
async def test_answers_are_read_where_they_can_be(endpoint: Endpoint, asked: Judge, answer: str, result: str) -> None:
    endpoint.answers = lambda question, number: answer
    assert (await asked.judged(card(verdict("calm", "unresolved")), "", TURNS)).verdicts[0].result == result


async def test_an_endpoint_that_fails_for_a_moment_is_asked_again(endpoint: Endpoint, asked: Judge) -> None:
    endpoint.answers = lambda question, number: 503 if number <= 4 else {"verdicts": [vote("calm", "na")]}
    assert (await asked.judged(card(verdict("calm", "unresolved")), "", TURNS)).verdicts[0].result == "na"


@pytest.mark.parametrize(
    ("status", "sentence", "requests"),
    [
        (503, r"The judge answers 503: check PARLEY_JUDGE_BASE_URL, or wait\.", 9),
        (401, r"The judge answers 401: check PARLEY_JUDGE_\*\.", 3),
    ],
)
async def test_an_endpoint_that_goes_on_failing_is_told(
    endpoint: Endpoint, asked: Judge, status: int, sentence: str, requests: int
) -> None:
    endpoint.answers = lambda question, number: status
    with pytest.raises(JudgeUnavailable, match=sentence):
        await asked.judged(card(verdict("calm", "unresolved")), "", TURNS)
    assert len(endpoint.requests) <= requests


async def test_an_endpoint_that_is_not_there_is_told(endpoint: Endpoint) -> None:
    gone = Judge("http://127.0.0.1:9/v1", "wise-1")
    with pytest.raises(JudgeUnavailable, match=r"is not reached \(ConnectError\)"):
        await gone.ask(Question({"calm": "Stays calm."}, "", TURNS))
    await gone.close()


# Control cases


def test_the_cases_want_every_verdict_and_hold_both_sides() -> None:
    cases = controls.controls()
    assert {case.wanted for case in cases} == {"pass", "fail", "na"}
    assert len({case.name for case in cases}) == len(cases) >= 10
    for case in cases:
        assert {turn.side for turn in case.question().turns} == {"agent", "caller"}


async def test_a_judge_that_is_right_may_judge_and_is_not_asked_again(
    endpoint: Endpoint, asked: Judge, tmp_path: Path
) -> None:
    endpoint.answers = wise
    await ProvenJudge(asked, tmp_path).prove()
    assert len(endpoint.requests) == 3 * len(controls.controls())
    endpoint.answers = voting(vote("calm", "na"))
    after_a_start = ProvenJudge(asked, tmp_path)
    found = await after_a_start.judged(card(verdict("calm", "unresolved")), "", TURNS)
    assert found.verdicts[0].result == "na"
    assert len(endpoint.requests) == 3 * len(controls.controls()) + 3
    other = ProvenJudge(Judge(endpoint.address, "wise-2"), tmp_path)
    with pytest.raises(JudgeRefused, match="The model wise-2 may not judge"):
        await other.prove()
    await other.judge.close()


async def test_a_judge_that_is_wrong_once_may_not_judge(endpoint: Endpoint, asked: Judge, tmp_path: Path) -> None:
    wrong = controls.controls()[4]

    def nearly_wise(question: dict[str, Any], number: int) -> object:
        is_that = question["conversation"][0]["words"] == wrong.lines[0][3:] and len(question["conversation"]) == 2
        return (
            {"verdicts": [vote("control", "pass", question["conversation"][1]["words"])]}
            if (is_that and question["conversation"][1]["words"] == wrong.lines[1][3:])
            else wise(question, number)
        )

    endpoint.answers = nearly_wise
    assert [each.control for each in await tried(asked) if not each.right] == [wrong]
    proven = ProvenJudge(asked, tmp_path)
    with pytest.raises(JudgeRefused, match=r"gets 1 of \d+ control cases wrong, “answers an insult with one”"):
        await proven.judged(card(verdict("calm", "unresolved")), "", TURNS)
    requests = len(endpoint.requests)
    with pytest.raises(JudgeRefused):
        await proven.prove()
    assert len(endpoint.requests) == requests  # it is not tried again
    assert await asyncio.to_thread(lambda: list(tmp_path.glob("judges/*"))) == []


async def test_a_judge_that_was_away_is_tried_again_later(
    endpoint: Endpoint, asked: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.answers = lambda question, number: 503
    proven = ProvenJudge(asked, tmp_path)
    with pytest.raises(JudgeUnavailable, match="answers 503"):
        await proven.prove()
    endpoint.answers = wise
    with pytest.raises(JudgeUnavailable, match="answers 503"):
        await proven.prove()
    monkeypatch.setattr(controls, "time", SimpleNamespace(monotonic=lambda: 1e12))
    await proven.prove()


def test_a_case_is_read_as_a_conversation() -> None:
    one = Control("x", "Stays calm.", ("C: hello", "A: Good day."), "pass")
    assert [(turn.side, turn.text) for turn in one.question().turns] == [("caller", "hello"), ("agent", "Good day.")]
