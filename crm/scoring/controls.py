"""The control cases: a model judges calls only once it has judged all of these rightly.

controls.yaml ─▶ judge ─▶ all right ─▶ a note in the data folder, by model, prompt and cases
"""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import structlog
import yaml

from crm.call import Scorecard, Turn, VerdictResult
from crm.errors import JudgeFailed, JudgeRefused, JudgeUnavailable
from crm.scoring.judge import Judge, Question

CASES = Path(__file__).with_name("controls.yaml")
AGAIN_AFTER_S, LONGEST_PAUSE_S = 60.0, 900.0
ROLE = (
    "You work for Hillside Rentals which is a small car rental and your name is Ann. Information: "
    "The cars are picked up behind the station. The office closes at 6 p.m. from Monday to Friday. "
    "Never promise a discount. Ask for the booking number before talking about a booking. "
    "If you do not know something, say: I'm sorry, I don't know that."
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Control:
    """One case: what was said, what it is held to, and what must be found."""

    name: str
    criterion: str
    lines: tuple[str, ...]
    wanted: VerdictResult

    def question(self) -> Question:
        turns = [
            Turn("agent" if line.startswith("A: ") else "caller", 1_000 * index, 1_000 * index + 900, line[3:])
            for index, line in enumerate(self.lines)
        ]
        return Question({"control": self.criterion}, ROLE, turns)


@dataclass(frozen=True, slots=True)
class Tried:
    """What a judge made of a case, with its reason."""

    control: Control
    found: VerdictResult
    reason: str

    @property
    def right(self) -> bool:
        return self.found == self.control.wanted


@cache
def controls() -> tuple[Control, ...]:
    """Return the cases."""
    return tuple(
        Control(case["name"], case["criterion"], tuple(case["lines"]), case["wanted"])
        for case in yaml.safe_load(CASES.read_text())
    )


async def tried(judge: Judge) -> list[Tried]:
    """Have a judge judge every case, one after another.

    Raises:
        JudgeUnavailable: it does not answer.
    """
    found = []
    for control in controls():
        vote = (await judge.ask(control.question()))["control"]
        found.append(Tried(control, vote.verdict, vote.reason))
    return found


class ProvenJudge:
    """A judge that is asked about calls only once it has judged all control cases rightly, now or before a start.

    A note in ``data_dir`` says so; another model, prompt or case needs another. One that does not answer is asked
    nothing for a while, ever longer; one that judges wrongly is not asked again.
    """

    def __init__(self, judge: Judge, data_dir: Path) -> None:
        told = f"{judge.name}\n{ROLE}\n".encode() + CASES.read_bytes()
        self.judge = judge
        self._note = data_dir / "judges" / hashlib.sha256(told).hexdigest()
        self._asking = asyncio.Lock()
        self._proven = False
        self._refusal: JudgeUnavailable | None = None
        self._again_at = 0.0
        self._pause_s = AGAIN_AFTER_S

    async def judged(self, card: Scorecard, role: str, turns: Sequence[Turn]) -> Scorecard:
        """See ``Judge.judged``.

        Raises:
            JudgeFailed: it does not answer about this call, though it is there.
            JudgeUnavailable: it is away, or may not judge.
        """
        await self.prove()
        try:
            return await self.judge.judged(card, role, turns)
        except JudgeUnavailable as error:
            if self._proven:
                self._proven, self._refusal, self._again_at = False, error, 0.0
            await self.prove()
            raise JudgeFailed(str(error)) from None

    async def prove(self) -> None:
        """Return when all control cases are judged rightly; after it was away, when one is answered.

        Raises:
            JudgeRefused: one is not.
            JudgeUnavailable: the model does not answer.
        """
        if self._refusal and self._asking.locked():
            raise self._refusal  # who looks whether it is back keeps nobody waiting
        async with self._asking:
            if self._proven:
                return
            if self._refusal and (isinstance(self._refusal, JudgeRefused) or time.monotonic() < self._again_at):
                raise self._refusal
            try:
                await self._prove()
            except JudgeUnavailable as error:
                self._refusal, self._again_at = error, time.monotonic() + self._pause_s
                log.warning("no call is judged", reason=str(error), again_in_s=self._pause_s)
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
                raise
            self._proven, self._refusal, self._pause_s = True, None, AGAIN_AFTER_S

    async def _prove(self) -> None:
        if await asyncio.to_thread(self._note.is_file):
            if self._refusal:
                await self.judge.ask(controls()[0].question())
            return
        if wrong := [each.control.name for each in await tried(self.judge) if not each.right]:
            raise JudgeRefused(
                f"The model {self.judge.model} may not judge: it gets {len(wrong)} of {len(controls())} control cases "
                f"wrong, “{wrong[0]}” among them; name a better one (PARLEY_JUDGE_MODEL), "
                "or see `parley score --check-judge`."
            )
        await asyncio.to_thread(_write, self._note, self.judge.name)


def _write(note: Path, name: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{name}\n")
