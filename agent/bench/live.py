"""How fast the cascade answers: real calls in real time, and what their response onset is made of.

three questions a call ─▶ Line ─▶ onsets
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from agent.bench.callers import BenchError, Callers
from agent.bench.line import Line, Onset, frames_of
from agent.duplex import DuplexEngine, load_engine
from agent.role import role_for
from personas.persona import PersonaCard

_QUESTIONS = 3


async def talk_live(
    cards: Sequence[PersonaCard], callers: Callers, calls: int, options: Mapping[str, str], done: Callable[[], None]
) -> list[Onset]:
    """Hold ``calls`` calls one after another, three questions each; calls ``done`` after each call.

    Raises:
        EngineUnavailable: the cascade does not start.
        BenchError: a call got no answer.
    """
    engine = load_engine("cascade", options)
    await engine.start()
    onsets: list[Onset] = []
    try:
        for number in range(calls):
            card, voice = cards[number % len(cards)], callers.voices[number % len(callers.voices)]
            onsets += await _one_call(engine, card, callers, voice)
            done()
    finally:
        await engine.close()
    return onsets


async def _one_call(engine: DuplexEngine, card: PersonaCard, callers: Callers, voice: str) -> list[Onset]:
    session = await engine.open(role_for(card))
    try:
        await session.ready()
        line = Line(session)
        onsets = []
        for question in card.test_questions[:_QUESTIONS]:
            if not await line.until_quiet():
                raise BenchError("The agent did not stop speaking for 40 seconds.")
            sound = await asyncio.to_thread(frames_of, callers, question.ask, voice)
            onset = await line.ask(*sound)
            if onset is None:
                raise BenchError("The agent did not answer a question within 20 seconds.")
            onsets.append(onset)
        return onsets
    finally:
        await session.close()
