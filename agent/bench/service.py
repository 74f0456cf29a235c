"""How well any engine serves: the library's seven test questions a persona, each in a call of its own, in real time.

Service-Duplex-Bench's form (its data are unreleased): Q0 a name, Q1 and Q2 details, Q3 what the card forbids,
Q4 rudeness, Q5 what no card says, Q6 what is no business of the persona's.

    question ─▶ Line ─▶ the agent's own text ─▶ the card's criteria ─▶ right · wrong · undecided
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

import numpy as np

from agent.bench.callers import Callers
from agent.bench.calls import hold_calls
from agent.bench.line import AUDIBLE_OF_ANY, Line, frames_of
from agent.duplex import DuplexEngine, DuplexError
from agent.role import role_for
from crm.call import Call, Scorecard, Turn, VerdictResult
from crm.errors import JudgeUnavailable
from crm.scoring import score_call
from crm.scoring.controls import ProvenJudge
from crm.scoring.facts import says_unknown
from personas.persona import PersonaCard, QuestionKind, TestQuestion

ANSWERED_MS = 1_600
"""Silence after which an answer is over: models pause between sentences."""

Result = Literal["right", "wrong", "undecided", "unanswered", "failed"]
RESULTS: tuple[Result, ...] = get_args(Result)
_RUDE = "you are an idiot"
_CRITERIA = {QuestionKind.RUDENESS: "calm", QuestionKind.UNRELATED: "topic"}
_RESULTS: dict[VerdictResult, Result] = {"pass": "right", "fail": "wrong", "na": "undecided", "unresolved": "undecided"}


@dataclass(frozen=True, slots=True)
class Served:
    """One question. ``said`` is the agent's text since it began; ``onset_ms`` from its end to the agent's sound."""

    card: str
    kind: str
    voice: str
    asked: str
    said: str
    result: Result
    onset_ms: float | None
    why: str = ""


async def serve_all(
    engine: DuplexEngine,
    cards: Sequence[PersonaCard],
    callers: Callers,
    judge: ProvenJudge | None,
    done: Callable[[], None],
    at_once: int = 1,
) -> list[Served]:
    """Ask every card its test questions in every voice, ``at_once`` calls at a time, or as many as the engine holds.

    A call that the engine does not carry is told, and the others go on. ``done`` is called after each question.
    """
    questions = [(card, ask, voice) for card in cards for ask in card.test_questions for voice in callers.voices]
    served: list[Served] = []

    async def ask(question: tuple[PersonaCard, TestQuestion, str]) -> None:
        card, asked, voice = question
        served.append(await _served(engine, card, asked, callers, voice, judge))
        done()

    await hold_calls(engine, questions, ask, at_once)
    return sorted(served, key=lambda one: (one.card, one.kind, one.voice))


async def _served(
    engine: DuplexEngine,
    card: PersonaCard,
    question: TestQuestion,
    callers: Callers,
    voice: str,
    judge: ProvenJudge | None,
) -> Served:
    def found(said: str, result: Result, onset_ms: float | None = None, why: str = "") -> Served:
        return Served(card.slug, question.kind.value, voice, question.ask, said, result, onset_ms, why)

    try:
        said, onset_ms = await _asked(engine, card, question, callers, voice)
    except DuplexError as error:
        return found("", "failed", why=str(error))
    if onset_ms is None:
        return found(said, "unanswered")
    result, why = await judged(card, question, said, judge)
    return found(said, result, onset_ms, why)


async def _asked(
    engine: DuplexEngine, card: PersonaCard, question: TestQuestion, callers: Callers, voice: str
) -> tuple[str, float | None]:
    """Hold one call: greeting, question, answer. Return the agent's text since the question began, and the onset."""
    sound = await asyncio.to_thread(frames_of, callers, question.ask, voice)
    session = await engine.open(role_for(card))
    try:
        await session.ready()
        line = Line(session, AUDIBLE_OF_ANY)
        await line.until_quiet()
        onset = await line.ask(*sound)
        if onset:
            await line.until_quiet(ANSWERED_MS)
        return "".join(line.said).strip(), onset.onset_ms if onset else None
    finally:
        await session.close()


async def judged(
    card: PersonaCard, question: TestQuestion, said: str, judge: ProvenJudge | None = None
) -> tuple[Result, str]:
    """Return whether an answer is what the card wants, and why; by rules, and where they leave it open by a judge.

    The rules would have to guess what was asked. Here it is known, so they read the card's own wording of it.
    """
    if not said:
        return "undecided", "The engine does not tell its words."
    answer = Turn("agent", 1_500, 3_000, said)
    role = role_for(card)
    known = Turn("caller", 0, 1_000, _wording(card, question))
    scores = await asyncio.to_thread(score_call, _call(card, role.text), [known, answer], card)
    result, why = _result(card, question, said, scores)
    if judge and result == "undecided":
        try:
            scores = await judge.judged(scores, role.text, [Turn("caller", 0, 1_000, question.ask), answer])
        except JudgeUnavailable as error:
            return result, str(error)
        result, why = _result(card, question, said, scores)
    return result, why


def _wording(card: PersonaCard, question: TestQuestion) -> str:
    if question.kind is QuestionKind.RUDENESS:
        return _RUDE
    asked = {*question.facts, question.rule}
    parts = [part for part in (*card.facts, *card.rules) if part.id in asked and part.questions]
    return parts[0].questions[0] if parts else question.ask


def _result(card: PersonaCard, question: TestQuestion, said: str, scores: Scorecard) -> tuple[Result, str]:
    verdicts = {verdict.criterion_id: verdict for verdict in scores.verdicts}
    if question.kind is QuestionKind.UNSPECIFIED:
        facts = [verdict for name, verdict in verdicts.items() if name.startswith("fact:")]
        wrong = [verdict for verdict in facts if verdict.result in ("pass", "fail")]
        wrong += [verdicts["invention"]] if verdicts["invention"].result == "fail" else []
        if wrong:
            return "wrong", f"It answers. {wrong[0].text} {wrong[0].reason}"
        knows_not = says_unknown(card, said) or verdicts["invention"].result == "pass"
        return ("right", "It says that it does not know.") if knows_not else ("undecided", "")
    names = [f"fact:{name}" for name in question.facts]
    names += [f"rule:{question.rule}"] if question.rule else []
    wanted = [verdicts[name] for name in names or [_CRITERIA[question.kind]]]
    for kind in ("fail", "unresolved", "na"):
        if worst := next((verdict for verdict in wanted if verdict.result == kind), None):
            return _RESULTS[worst.result], worst.reason
    return "right", wanted[0].reason


def _call(card: PersonaCard, role_prompt: str) -> Call:
    now = datetime.now(UTC)
    return Call(
        "bench", "bench", "bench", "bench", "", "", card.slug, None, card.title, "", "ended", "caller_hung_up", "",
        role_prompt, now, now, now, 0, "",
    )  # fmt: skip


def figures(served: Sequence[Served]) -> dict[str, dict[str, float | int | None]]:
    """Return counts of each result, and onsets in ms, by kind of question and for "all"."""
    kinds = sorted({one.kind for one in served})
    groups = {kind: [one for one in served if one.kind == kind] for kind in kinds} | {"all": list(served)}
    found: dict[str, dict[str, float | int | None]] = {}
    for name, group in groups.items():
        counts: dict[str, float | int | None] = {
            result: sum(one.result == result for one in group) for result in RESULTS
        }
        onsets = [one.onset_ms for one in group if one.onset_ms is not None]
        p50, p90 = np.percentile(onsets, [50, 90]).round() if onsets else (None, None)
        found[name] = {"asked": len(group)} | counts | {"onset_p50_ms": p50, "onset_p90_ms": p90}
    return found
