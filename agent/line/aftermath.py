"""What a caller meets after the stream, a dialled human, a queue or a wait: reads the row, tries the table's steps.

NextAsked ─▶ the call's parts ─▶ outcome ─▶ agent.line.next_step ─▶ reconnect | wait | hand off | say | hang up
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from agent.call import Switchboard
from agent.line import sentences
from agent.line.colleagues import Colleagues
from agent.line.hand_off import HandOffs
from agent.line.lobby import Lobby
from agent.line.next_step import AFTER_STREAM, LOSSES, WAITED_ENOUGH, Step, Steps, after_human, at_answer
from agent.line.opening import Opening, Refused
from agent.live import Noted
from agent.logs import log_failure
from crm.call import Call, Handoff, NewCall, Outcome
from personas.numbers import NumberSettings
from telephony.carrier import ConnectStream, HangUp, Hold, Instruction, NextAsked, SayAndHangUp

log = structlog.get_logger(__name__)

MOST_PARTS = 8
STEP_S = 6.0
"""How long a step may take before the next is tried, a second more than a carrier's API: somebody hears it ring."""
_NO_SLOT = "No slot became free while the caller waited."
LINE_IS_DOWN = frozenset({"completed", "canceled", "failed", "busy", "no-answer"})


@dataclass(frozen=True, slots=True)
class _Case:
    """A call whose last part is over. ``say`` goes before a reconnection; ``refused`` grows by why there was none."""

    parts: Sequence[Call]
    outcome: Outcome
    handoff: Handoff | None = None
    say: str = ""
    refused: set[Outcome] = field(default_factory=set)


class Aftermath:
    """One process's answers to "what next?"; every one can be given again, here or by another process."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        board: Switchboard,
        opening: Opening,
        hand_offs: HandOffs,
        lobby: Lobby,
        colleagues: Colleagues,
    ) -> None:
        self._group = group
        self._board = board
        self._opening = opening
        self._hand_offs = hand_offs
        self._lobby = lobby
        self._colleagues = colleagues
        self.draining = False

    async def of_stream(self, parts: Sequence[Call], outcome: Outcome, handoff: Handoff | None) -> Instruction:
        """Answer after the last part's stream, which ended with ``outcome``."""
        say = sentences.NOBODY_FREE if outcome == "transferred" else sentences.ONE_MOMENT
        return await self._try(AFTER_STREAM[outcome], _Case(parts, outcome, handoff, say))

    async def of_human(self, parts: Sequence[Call], asked: NextAsked) -> Instruction:
        """Answer after a human, or a queue, was called for the part that ``asked`` is about."""
        call = _part(parts, asked.part)
        result = asked.result or "failed"
        await self._hand_offs.over(call, "over" if result in ("answered", "canceled") else "failed")
        steps = after_human(result, call.handoff.why if call.handoff else "")
        return await self._try(steps, _Case(parts, "transferred", say=sentences.NOBODY_FREE))

    async def of_room(self, parts: Sequence[Call], asked: NextAsked) -> Instruction:
        """Answer a caller who waits for the human of a warm hand-off and asks again."""
        return await self._hand_offs.of_wait(parts[-1]) or await self.of_human(parts, asked)

    async def refuse(self, new: NewCall, refusal: Refused, number: NumberSettings | None) -> Instruction:
        """Answer a ringing call that no persona can take."""
        steps = at_answer(refusal.outcome, number.on_full if number else "busy")
        if Step.WAIT in steps:
            await self._board.calls.hold_call(new)
            self._lobby.hear(new.carrier_call_id)
            return Hold(new.part, sentences.please_wait(new.part))
        has_human = Step.HUMAN in steps and number is not None and bool(number.human_number)
        handoff = Handoff("cold", why=refusal.outcome) if has_human else None
        call = await self._board.calls.refuse_call(new, refusal.outcome, refusal.reason, handoff)
        self._board.live.publish(call.id, Noted("refused", 0, refusal.outcome))
        log.warning("call refused", call_id=call.id, outcome=refusal.outcome, reason=refusal.reason)
        return await self.again(call, number)

    async def again(self, call: Call, number: NumberSettings | None) -> Instruction:
        """Answer the webhook of a refused call, the first or a repeated one."""
        if call.handoff and (instruction := await self._hand_offs.start(call, call.handoff, number)):
            return instruction
        return SayAndHangUp(sentences.refusal(call.outcome))

    async def of_wait(self, parts: Sequence[Call]) -> Instruction:
        """Answer a caller who waits for a slot and asks again."""
        call = parts[-1]
        number = await self._board.personas.number_settings(call.to_number)
        waited_s = (datetime.now(UTC) - call.created_at).total_seconds()
        if number is None or waited_s >= number.wait_limit_s:
            return await self._waited_enough(parts)
        if self.draining:
            return await self.pass_on(self._opening.as_new(call)) or await self._waited_enough(parts)
        await self._board.calls.hold_call(self._opening.as_new(call))
        self._lobby.hear(call.carrier_call_id, first=call.part > 1)
        capacity = self._board.engine.capacity()
        if not self._lobby.is_next(call.carrier_call_id, capacity.slots - capacity.used):
            return Hold(call.part)
        try:
            instruction = await self._opening.admit(call)
        except Refused as refusal:
            if refusal.outcome == "engine_full":
                return Hold(call.part)
            return await self._waited_enough(parts, refusal)
        self._lobby.leave(call.carrier_call_id)
        return instruction

    async def pass_on(self, new: NewCall, say: str = "") -> Hold | None:
        """Let a call wait for another process to be asked for it; None where there is no other."""
        if not await self._colleagues.any_other():
            return None
        await self._board.calls.hold_call(new)
        self._lobby.hear(new.carrier_call_id)
        return Hold(new.part, say)

    async def _waited_enough(self, parts: Sequence[Call], refusal: Refused | None = None) -> Instruction:
        outcome: Outcome = refusal.outcome if refusal else "engine_full"
        await self._wait_no_more(parts[-1], outcome, refusal.reason if refusal else _NO_SLOT)
        return await self._try(WAITED_ENOUGH, _Case(parts, outcome))

    async def _wait_no_more(self, call: Call, outcome: Outcome = "engine_full", reason: str = _NO_SLOT) -> None:
        self._lobby.leave(call.carrier_call_id)
        await self._board.calls.finish(call.id, status="ended", outcome=outcome, reason=reason, expect="waiting")

    async def _try(self, steps: Steps, case: _Case) -> Instruction:
        """Take the first step that can be taken."""
        for step in steps:
            # Not cancelled when it is late: a statement that waits for a lock would not let itself be cancelled.
            taking = self._group.create_task(self._attempt(step, case))
            await asyncio.wait((taking,), timeout=STEP_S)
            if not taking.done():
                log.warning("step took too long", step=step.name, outcome=case.outcome)
                self._group.create_task(self._take_back(taking, case.parts[-1]))
            elif instruction := taking.result():
                return instruction
        return SayAndHangUp(sentences.refusal(case.outcome))

    async def _take_back(self, late: asyncio.Task[Instruction | None], call: Call) -> None:
        """Undo what came too late to be told to the caller."""
        try:
            instruction = await late
            if isinstance(instruction, ConnectStream):
                await self._opening.take_back(call.carrier_call_id)
            elif isinstance(instruction, Hold):  # for a slot, as the next part, or for a human
                await self._wait_no_more((await self._board.calls.parts(call.carrier, call.carrier_call_id))[-1])
                await self._hand_offs.over(await self._board.calls.call(call.id), "over")
        except Exception as error:
            log_failure(log, "late step could not be undone", error)

    async def _attempt(self, step: Step, case: _Case) -> Instruction | None:
        try:
            return await self._take(step, case)
        except Refused as refusal:
            case.refused.add(refusal.outcome)
            log.warning("step refused", step=step.name, outcome=case.outcome, reason=refusal.reason)
        except Exception as error:  # what a task raises would end the calls beside it
            log_failure(log, "step failed", error)
        return None

    async def _take(self, step: Step, case: _Case) -> Instruction | None:
        if step is Step.HANG_UP:
            return HangUp()
        if step is Step.RECONNECT and not self.draining and _may_go_on(case.parts, case.outcome):
            return await self._opening.go_on(case.parts, case.say)
        if step in (Step.WAIT, Step.HAND_OFF, Step.HUMAN):
            number = await self._board.personas.number_settings(case.parts[-1].to_number)
            return await (self._wait(case, number) if step is Step.WAIT else self._to_human(step, case, number))
        return None

    async def _wait(self, case: _Case, number: NumberSettings | None) -> Instruction | None:
        """Let a caller wait whose reconnection found the engine full, or this process taking no more calls."""
        if self.draining and _may_go_on(case.parts, case.outcome):
            return await self.pass_on(await self._opening.next_part(case.parts), case.say)
        if "engine_full" not in case.refused or number is None or number.on_full != "wait":
            return None
        call = await self._board.calls.hold_call(await self._opening.next_part(case.parts))
        self._lobby.hear(call.carrier_call_id, first=True)  # before those who were never connected
        return Hold(call.part, sentences.please_wait(call.part))

    async def _to_human(self, step: Step, case: _Case, number: NumberSettings | None) -> Instruction | None:
        last, handoff = case.parts[-1], case.handoff
        if step is Step.HUMAN:
            if number is None or not number.human_number or any(part.handoff for part in case.parts[:-1]):
                return None
            handoff = last.handoff or Handoff("cold", why=case.outcome or "gateway_lost")
        return await self._hand_offs.start(last, handoff, number) if handoff else None


def _part(parts: Sequence[Call], number: int) -> Call:
    return next((part for part in parts if part.part == number), parts[-1])


def _may_go_on(parts: Sequence[Call], outcome: Outcome) -> bool:
    """Whether a call may have one part more: after a loss only where no part before was lost."""
    lost_before = any(part.outcome in LOSSES for part in parts[:-1])
    return len(parts) < MOST_PARTS and not (outcome in LOSSES and lost_before)
