"""What a caller meets after the stream, a dialled human, a queue or a wait: reads the row, tries the table's steps.

NextAsked ─▶ the call's parts ─▶ outcome ─▶ agent.line.next_step ─▶ reconnect | hand off | wait | say | hang up
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from agent.call import Switchboard
from agent.line import sentences
from agent.line.hand_off import HandOffs
from agent.line.lobby import Lobby
from agent.line.next_step import AFTER_STREAM, LOSSES, WAITED_ENOUGH, Step, Steps, after_human, at_answer
from agent.line.opening import Opening, Refused
from agent.live import Noted
from agent.logs import log_failure
from crm.call import Call, Handoff, NewCall, Outcome
from personas.numbers import NumberSettings
from telephony.carrier import ConnectStream, HangUp, Hold, Instruction, JoinRoom, NextAsked, SayAndHangUp

log = structlog.get_logger(__name__)

MOST_PARTS = 8
STEP_S = 1.5
"""How long a step may take before the next is tried: somebody is listening to silence."""
LINE_IS_DOWN = frozenset({"completed", "canceled", "failed", "busy", "no-answer"})


class Aftermath:
    """One process's answers to "what next?"; every one can be given again, here or by another process."""

    def __init__(
        self, group: asyncio.TaskGroup, board: Switchboard, opening: Opening, hand_offs: HandOffs, lobby: Lobby
    ) -> None:
        self._group = group
        self._board = board
        self._opening = opening
        self._hand_offs = hand_offs
        self._lobby = lobby
        self.draining = False

    async def of_stream(self, parts: Sequence[Call], outcome: Outcome, handoff: Handoff | None) -> Instruction:
        """Answer after the last part's stream, which ended with ``outcome``."""
        say = sentences.NOBODY_FREE if outcome == "transferred" else sentences.ONE_MOMENT
        return await self._try(AFTER_STREAM[outcome], parts, outcome, handoff, say)

    async def of_human(self, parts: Sequence[Call], asked: NextAsked) -> Instruction:
        """Answer after a human, or a queue, was called for the part that ``asked`` is about."""
        call = _part(parts, asked.part)
        result = asked.result or "failed"
        await self._hand_offs.over(call, "over" if result in ("answered", "canceled") else "failed")
        steps = after_human(result, call.handoff.why if call.handoff else "")
        return await self._try(steps, parts, "transferred", None, sentences.NOBODY_FREE)

    async def refuse(self, new: NewCall, refusal: Refused, number: NumberSettings | None) -> Instruction:
        """Answer a ringing call that no persona can take."""
        steps = at_answer(refusal.outcome, number.on_full if number else "busy")
        if Step.WAIT in steps:
            await self._board.calls.hold_call(new)
            self._lobby.hear(new.carrier_call_id)
            return Hold(new.part, sentences.PLEASE_WAIT)
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
        if number is None or waited_s >= number.wait_limit_s or self.draining:
            return await self._waited_enough(parts)
        await self._board.calls.hold_call(self._opening.as_new(call))
        self._lobby.hear(call.carrier_call_id)
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

    async def _waited_enough(self, parts: Sequence[Call], refusal: Refused | None = None) -> Instruction:
        call = parts[-1]
        self._lobby.leave(call.carrier_call_id)
        outcome: Outcome = refusal.outcome if refusal else "engine_full"
        reason = refusal.reason if refusal else "No slot became free while the caller waited."
        await self._board.calls.finish(call.id, status="ended", outcome=outcome, reason=reason, expect="waiting")
        return await self._try(WAITED_ENOUGH, parts, outcome, None, "")

    async def _try(
        self, steps: Steps, parts: Sequence[Call], outcome: Outcome, handoff: Handoff | None, say: str
    ) -> Instruction:
        """Take the first step that can be taken."""
        for step in steps:
            # Not cancelled when it is late: a statement that waits for a lock would not let itself be cancelled.
            taking = self._group.create_task(self._attempt(step, parts, outcome, handoff, say))
            await asyncio.wait((taking,), timeout=STEP_S)
            if not taking.done():
                log.warning("step took too long", step=step.name, outcome=outcome)
                self._group.create_task(self._take_back(taking, parts[-1]))
            elif instruction := taking.result():
                return instruction
        return SayAndHangUp(sentences.refusal(outcome))

    async def _take_back(self, late: asyncio.Task[Instruction | None], call: Call) -> None:
        """Undo what came too late to be told to the caller."""
        try:
            instruction = await late
            if isinstance(instruction, ConnectStream):
                await self._opening.take_back(call.carrier_call_id)
            elif isinstance(instruction, JoinRoom):
                await self._hand_offs.over(await self._board.calls.call(call.id), "over")
        except Exception as error:
            log_failure(log, "late step could not be undone", error)

    async def _attempt(
        self, step: Step, parts: Sequence[Call], outcome: Outcome, handoff: Handoff | None, say: str
    ) -> Instruction | None:
        try:
            return await self._take(step, parts, outcome, handoff, say)
        except Refused as refusal:
            log.warning("step refused", step=step.name, outcome=outcome, reason=refusal.reason)
        except Exception as error:  # what a task raises would end the calls beside it
            log_failure(log, "step failed", error)
        return None

    async def _take(
        self, step: Step, parts: Sequence[Call], outcome: Outcome, handoff: Handoff | None, say: str
    ) -> Instruction | None:
        last = parts[-1]
        if step is Step.HANG_UP:
            return HangUp()
        if step is Step.RECONNECT and not self.draining and _may_go_on(parts, outcome):
            return await self._opening.go_on(parts, say)
        if step is Step.HAND_OFF and handoff:
            number = await self._board.personas.number_settings(last.to_number)
            return await self._hand_offs.start(last, handoff, number)
        if step is Step.HUMAN and not any(part.handoff for part in parts[:-1]):
            number = await self._board.personas.number_settings(last.to_number)
            if number and number.human_number:
                handoff = last.handoff or Handoff("cold", why=outcome or "gateway_lost")
                return await self._hand_offs.start(last, handoff, number)
        return None


def _part(parts: Sequence[Call], number: int) -> Call:
    return next((part for part in parts if part.part == number), parts[-1])


def _may_go_on(parts: Sequence[Call], outcome: Outcome) -> bool:
    """Whether a call may have one part more: after a loss only where no part before was lost."""
    lost_before = any(part.outcome in LOSSES for part in parts[:-1])
    return len(parts) < MOST_PARTS and not (outcome in LOSSES and lost_before)
