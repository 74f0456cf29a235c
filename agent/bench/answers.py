"""How well the cascade hears and answers: the library's test questions, whole utterances, faster than real time.

question ──Callers──▶ 8 kHz ──▶ recogniser ──▶ Transcript ──▶ responder ──▶ topics ──▶ right or wrong
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from agent.bench.callers import Callers
from agent.duplex import RoleCard
from agent.engines.cascade.normalise import speakable
from agent.engines.cascade.ports import Recogniser, RecogniserSession, Responder
from agent.engines.cascade.recogniser import make_recogniser
from agent.engines.cascade.responder import make_responder
from agent.role import role_card
from personas.persona import PersonaCard, QuestionKind, TestQuestion

ASKED = (QuestionKind.PROPER_NOUN, QuestionKind.DETAIL_ONE, QuestionKind.DETAIL_TWO, QuestionKind.UNSPECIFIED)
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """One question, asked once. ``errors`` of ``words`` were misheard; ``topics`` is what the reply stated."""

    card: str
    kind: str
    voice: str
    snr_db: float | None
    asked: str
    heard: str
    expected: tuple[str, ...]
    topics: tuple[str, ...]
    right: bool
    words: int
    errors: int


async def ask_all(
    cards: Sequence[PersonaCard],
    callers: Callers,
    snrs: Sequence[float | None],
    options: Mapping[str, str],
    done: Callable[[], None],
) -> list[Answer]:
    """Ask every card its questions in every voice at every ``snrs``; calls ``done`` after each.

    Raises:
        EngineUnavailable: a part of the cascade does not start.
    """
    workers = os.cpu_count() or 1
    recogniser = make_recogniser({**options, "recogniser_workers": str(workers)})
    responder = make_responder(options)
    await asyncio.gather(recogniser.start(), responder.start())
    at_once = asyncio.Semaphore(workers + 1)
    answers: list[asyncio.Task[Answer]] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            for card in cards:
                room = _Room(card.slug, role_card(card), await _open(recogniser, card), responder, callers, at_once)
                questions = [question for question in card.test_questions if question.kind in ASKED]
                runs = product(questions, callers.voices, snrs)
                answers += [tasks.create_task(room.ask(*run, done)) for run in runs]
    finally:
        await recogniser.close()
        await responder.close()
    return [answer.result() for answer in answers]


async def _open(recogniser: Recogniser, card: PersonaCard) -> RecogniserSession:
    return await recogniser.open(role_card(card))


@dataclass(frozen=True, slots=True)
class _Room:
    """What the questions to one card share."""

    slug: str
    card: RoleCard
    recogniser: RecogniserSession
    responder: Responder
    callers: Callers
    at_once: asyncio.Semaphore

    async def ask(self, question: TestQuestion, voice: str, snr_db: float | None, done: Callable[[], None]) -> Answer:
        async with self.at_once:
            audio = await asyncio.to_thread(self.callers.phone, question.ask, voice, snr_db)
            transcript = await self.recogniser.transcribe(audio)
            session = await self.responder.open(self.card)
            topics = tuple([reply.topic async for reply in session.reply(transcript)])
        done()
        expected = question.facts or (_UNKNOWN,)
        said, heard = plain_words(speakable(question.ask)), plain_words(transcript.text)
        return Answer(
            card=self.slug,
            kind=question.kind.value,
            voice=voice,
            snr_db=snr_db,
            asked=question.ask,
            heard=transcript.text,
            expected=expected,
            topics=topics,
            right=is_right(self.card, question, topics),
            words=len(said),
            errors=word_errors(said, heard),
        )


def is_right(card: RoleCard, question: TestQuestion, topics: Iterable[str]) -> bool:
    """Whether the reply states every fact that the question is about, or, for Q5, that it is unknown and no fact."""
    stated = set(topics)
    if question.facts:
        return set(question.facts) <= stated
    return _UNKNOWN in stated and not stated & {fact.id for fact in card.facts}


def plain_words(text: str) -> list[str]:
    """Return the words of ``text`` as they are compared: lower case, no punctuation, hyphens apart."""
    return re.sub(r"[^a-z0-9' ]", "", text.lower().replace("-", " ")).split()


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return how many words must be put in, left out or exchanged to make ``heard`` of ``said`` (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]
