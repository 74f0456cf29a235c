"""Giving a call to a human: cold (dialled), warm (a room that a briefed human enters), or through a queue.

start ─┬─ cold ──▶ DialHuman ──────────────────────────▶ action: how it went
       ├─ queue ─▶ Enqueue ────────────────────────────▶ action: how it went
       └─ warm ──▶ Hold, and again ◀─ any key ─ BriefHuman ◀─ the human's own call, made by the carrier's API
                     ├─ taken ──────▶ JoinRoom, where the human is
                     └─ not taken ──▶ what comes after a human who did not answer
"""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from agent.call import Switchboard
from agent.line.lobby import Lobby
from agent.line.sentences import CALLER_GONE, CONNECTING, briefing
from agent.logs import log_failure
from crm.call import Call, CallEvent, Handoff, HandoffResult
from personas.errors import BadNumber
from personas.numbers import NumberSettings, check_number
from telephony.carrier import (
    BriefHuman,
    DialHuman,
    Enqueue,
    HangUp,
    Hold,
    Instruction,
    JoinRoom,
    NextAsked,
    SayAndHangUp,
)
from telephony.errors import CarrierUnavailable

log = structlog.get_logger(__name__)

RINGS_S = 25
TAKEN_WITHIN_S = 90.0
"""Ringing, the longest briefing, and the time to press a key: then the carrier has forgotten to say how it went."""
ALONE_S = 5.0
"""How long after a human has left a room its caller may take to be seen leaving it: else they came too late."""
PENDING: tuple[HandoffResult, ...] = ("dialling", "taken", "answered")
_WAITED_FOR: tuple[HandoffResult, ...] = ("dialling", "taken")
_ANNOUNCED = frozenset({"dtmf", "rule", "operator"})
"""Reasons after which the agent, or our own voice in the stream, has told the caller to hold on."""


class HandOffs:
    """One process's hand-offs; all that is known of one is in its call's row.

    Who waits for a human asks again every few seconds: so no request of ours is needed to bring anybody back, and
    who asks no more has hung up.
    """

    def __init__(self, board: Switchboard, group: asyncio.TaskGroup) -> None:
        self._board = board
        self._group = group
        self._waiting = Lobby(group, self._gone)
        self._alone = Lobby(group, self._never_met, ALONE_S)

    async def until_none(self) -> None:
        """Return when nobody waits for a human here."""
        await self._waiting.until_none()

    def close(self) -> None:
        """Stop every clock; the callers go on asking, of another process."""
        self._waiting.close()
        self._alone.close()

    async def start(self, call: Call, handoff: Handoff, number: NumberSettings | None) -> Instruction | None:
        """Give a call to a human; None if there is nobody to give it to, or that has failed before.

        A repeated request gets the same answer and calls nobody twice.
        """
        if call.handoff_result == "failed":
            return None
        handoff = _filled_in(handoff, number)
        say = "" if handoff.why in _ANNOUNCED else CONNECTING
        if handoff.mode == "queue":
            await self._advance(call, "dialling", ("",), handoff)
            return Enqueue(handoff.to, call.part, say)
        if not handoff.to:
            log.warning("call has no human to go to", call_id=call.id)
            return None
        if handoff.mode == "warm":
            if not self._board.carrier.can_call:
                log.warning("warm hand-off needs PARLEY_TWILIO_ACCOUNT_SID; dialled instead", call_id=call.id)
            elif await self._call_human(call, handoff):
                self._waiting.hear(call.carrier_call_id)
                return Hold(call.part, say)
            handoff = replace(handoff, mode="cold")
        await self._advance(call, "dialling", ("", "dialling"), handoff)
        caller_id = call.from_number if _is_number(call.from_number) else call.to_number
        return DialHuman(handoff.to, caller_id, call.part, say, RINGS_S)

    async def over(self, call: Call, result: HandoffResult) -> None:
        """Note how it went, and end the human's own call, which nobody waits for any more."""
        self._waiting.leave(call.carrier_call_id)
        self._alone.leave(call.carrier_call_id)
        if await self._advance(call, result, PENDING) and call.leg_id:
            self._end_leg(call, call.leg_id)

    async def of_wait(self, call: Call) -> Instruction | None:
        """Decide what a caller hears who waits for a human and asks again; None when nobody will come."""
        calls = self._board.calls
        if call.handoff_result == "dialling" and _since_end_s(call) < TAKEN_WITHIN_S:
            if call.gateway != calls.gateway:
                await calls.hear(call.id)
            self._waiting.hear(call.carrier_call_id)
            return Hold(call.part)
        self._waiting.leave(call.carrier_call_id)
        if call.handoff_result == "over":
            return HangUp()
        is_taken = await self._advance(call, "answered", ("taken",)) or call.handoff_result == "answered"
        return JoinRoom(_room(call), call.part) if is_taken else None

    async def of_human(self, asked: NextAsked, call: Call | None) -> Instruction:
        """Decide what comes next in a human's own call; ``call`` is the caller's."""
        if call is None or call.handoff is None or call.handoff.mode != "warm":
            return HangUp()
        if asked.after == "leg":
            if not await self._advance(call, "failed", _WAITED_FOR) and call.handoff_result == "answered":
                self._alone.hear(call.carrier_call_id)
            return HangUp()
        if asked.after == "brief" and call.handoff_result == "dialling":
            return BriefHuman(briefing(call, await self._board.calls.turns(call.id)), asked.about_call, call.part)
        if asked.after == "accept":
            taken = await self._advance(call, "taken", ("dialling",)) or call.handoff_result in ("taken", "answered")
            if taken:
                return JoinRoom(_room(call), call.part, is_human=True)
        return SayAndHangUp(CALLER_GONE)

    async def _call_human(self, call: Call, handoff: Handoff) -> bool:
        """Make the human's own call, once; False if it can't be made."""
        if not await self._advance(call, "dialling", ("",), handoff):
            return True
        try:
            leg_id = await self._board.carrier.call_human(
                handoff.to, call.to_number, about_call=call.carrier_call_id, part=call.part, timeout_s=RINGS_S
            )
        except CarrierUnavailable as error:
            log.warning("warm hand-off failed; dialled instead", call_id=call.id, reason=str(error))
            return False
        if not await self._board.calls.advance_handoff(call.id, "dialling", expect=("dialling",), leg_id=leg_id):
            self._end_leg(call, leg_id)  # the caller hung up while the call was being made
        return True

    async def _gone(self, call_id: str) -> None:
        """End the hand-off of a caller who asks no more, of this process or of another."""
        calls = self._board.calls
        try:
            call = await calls.call_by_carrier_id(self._board.carrier.name, call_id)
            if call is not None and call.gateway == calls.gateway and call.handoff_result in _WAITED_FOR:
                await self.over(call, "over")
        except Exception as error:  # what a task raises would end the calls beside it
            log_failure(log, "hand-off could not be ended", error)

    async def _never_met(self, call_id: str) -> None:
        """Fetch a caller out of a room that they entered in the moment in which the human left it."""
        try:
            call = await self._board.calls.call_by_carrier_id(self._board.carrier.name, call_id)
            if call is not None and await self._advance(call, "failed", ("answered",)):
                await self._board.carrier.redirect(call_id, part=call.part)
        except Exception as error:  # what a task raises would end the calls beside it
            log_failure(log, "caller could not be fetched from an empty room", error)

    def _end_leg(self, call: Call, leg_id: str) -> None:
        """End the human's own call, while the caller's goes on: the carrier's API may be slow."""
        self._group.create_task(self._hang_up(call, leg_id))

    async def _hang_up(self, call: Call, leg_id: str) -> None:
        try:
            await self._board.carrier.hang_up(leg_id)
        except CarrierUnavailable as error:
            log.warning("human's call could not be ended", call_id=call.id, reason=str(error))
        except Exception as error:
            log_failure(log, "human's call could not be ended", error)

    async def _advance(
        self, call: Call, to: HandoffResult, expect: Collection[HandoffResult], handoff: Handoff | None = None
    ) -> bool:
        calls = self._board.calls
        moved = await calls.advance_handoff(call.id, to, expect=expect, handoff=handoff)
        if moved:
            mode = handoff.mode if handoff else call.handoff.mode if call.handoff else ""
            await calls.add_events(call.id, [CallEvent(f"handoff_{to}", call.duration_ms or 0, mode)])
            log.info("hand-off", call_id=call.id, state=to, mode=mode)
        return moved


def _filled_in(handoff: Handoff, number: NumberSettings | None) -> Handoff:
    """Return the hand-off with the number's own human or queue; without a queue it is dialled."""
    if handoff.mode == "queue":
        queue = (number.queue_name if number else "") or handoff.to
        if queue and not _is_number(queue):
            return replace(handoff, to=queue)
        handoff = replace(handoff, mode="cold")
    return replace(handoff, to=handoff.to or (number.human_number if number else ""))


def _since_end_s(call: Call) -> float:
    """Return how long ago a call's stream ended; 0 where its row does not say so yet."""
    return (datetime.now(UTC) - call.ended_at).total_seconds() if call.ended_at else 0.0


def _room(call: Call) -> str:
    return f"parley-{call.id}"


def _is_number(text: str) -> bool:
    try:
        check_number(text)
    except BadNumber:
        return False
    return True
