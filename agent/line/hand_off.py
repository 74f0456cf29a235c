"""Giving a call to a human: cold (dialled), warm (a room that a briefed human enters), or through a queue.

start ─┬─ cold ──▶ DialHuman ──────────────────────────▶ action: how it went
       ├─ queue ─▶ Enqueue ────────────────────────────▶ action: how it went
       └─ warm ──▶ JoinRoom, music ◀─ any key ─ BriefHuman ◀─ the human's own call, made by the carrier's API
                                              └─ not taken ─▶ the caller is fetched out of the room
"""

from collections.abc import Collection
from dataclasses import replace

import structlog

from agent.call import Switchboard
from agent.line.sentences import CALLER_GONE, CONNECTING, briefing
from crm.call import Call, CallEvent, Handoff, HandoffResult
from personas.errors import BadNumber
from personas.numbers import NumberSettings, check_number
from telephony.carrier import (
    BriefHuman,
    DialHuman,
    Enqueue,
    HangUp,
    Instruction,
    JoinRoom,
    NextAsked,
    SayAndHangUp,
)
from telephony.errors import CarrierUnavailable

log = structlog.get_logger(__name__)

RINGS_S = 25
_FETCHES = 2
_ANNOUNCED = frozenset({"dtmf", "rule", "operator"})
"""Reasons after which the agent, or our own voice in the stream, has told the caller to hold on."""


class HandOffs:
    """One process's hand-offs; all that is known of one is in its call's row."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board

    async def start(self, call: Call, handoff: Handoff, number: NumberSettings | None) -> Instruction | None:
        """Give a call to a human; None if there is nobody to give it to.

        A repeated request gets the same answer and calls nobody twice.
        """
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
                return JoinRoom(_room(call), call.part)
            handoff = replace(handoff, mode="cold")
        await self._advance(call, "dialling", ("", "dialling"), handoff)
        caller_id = call.from_number if _is_number(call.from_number) else call.to_number
        return DialHuman(handoff.to, caller_id, call.part, say, RINGS_S)

    async def over(self, call: Call, result: HandoffResult) -> None:
        """Note how it went, and end the human's own call where the caller is gone."""
        await self._advance(call, result, ("dialling", "answered"))
        if call.leg_id and result == "over":
            await self._end_leg(call, call.leg_id)

    async def of_human(self, asked: NextAsked, call: Call | None) -> Instruction:
        """Decide what comes next in a human's own call; ``call`` is the caller's."""
        waits = call is not None and call.handoff is not None and call.handoff.mode == "warm"
        if call is None or not waits or asked.call_status in ("busy", "no-answer", "failed", "canceled"):
            if call is not None and asked.after == "leg":
                await self._not_taken(call, asked)
            return HangUp()
        if asked.after == "leg":
            await self._not_taken(call, asked)
            return HangUp()
        if asked.after == "brief" and call.handoff_result == "dialling":
            return BriefHuman(briefing(call, await self._board.calls.turns(call.id)), asked.about_call, call.part)
        if asked.after == "accept" and (await self._take(call) or call.handoff_result == "answered"):
            return JoinRoom(_room(call), call.part, is_human=True)
        return SayAndHangUp(CALLER_GONE)

    async def _take(self, call: Call) -> bool:
        return await self._advance(call, "answered", ("dialling",))

    async def _not_taken(self, call: Call, asked: NextAsked) -> None:
        """Fetch the caller out of the room that the human did not come into."""
        if not await self._advance(call, "failed", ("dialling",)):
            return
        result = asked.result if asked.result in ("busy", "no-answer") else "failed"
        for _ in range(_FETCHES):
            try:
                await self._board.carrier.redirect(call.carrier_call_id, part=call.part, result=result)
            except CarrierUnavailable as error:
                log.warning("caller could not be fetched from the room", call_id=call.id, reason=str(error))
            else:
                return

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
            await self._end_leg(call, leg_id)  # the caller hung up while the call was being made
        return True

    async def _end_leg(self, call: Call, leg_id: str) -> None:
        try:
            await self._board.carrier.hang_up(leg_id)
        except CarrierUnavailable as error:
            log.warning("human's call could not be ended", call_id=call.id, reason=str(error))

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


def _room(call: Call) -> str:
    return f"parley-{call.id}"


def _is_number(text: str) -> bool:
    try:
        check_number(text)
    except BadNumber:
        return False
    return True
