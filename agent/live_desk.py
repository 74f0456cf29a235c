"""What the console sees of live calls and does to them, whichever process carries them.

page ─▶ LiveDesk ─┬▶ LiveCalls.control                      this process
                  ├▶ LiveNeighbours                         another, of this machine or of another
                  └▶ CallStore.request_ending ─▶ Carrier.redirect ─▶ the carrier asks what comes next: out of reach
"""

import asyncio
from collections.abc import AsyncIterator

from agent.live import LiveCalls, line_of
from agent.neighbours import LiveNeighbours
from crm.admin.live import LiveLine, LiveRefused
from crm.call import AskedEnding, Call, CallEvent, Handoff
from crm.store import CallStore
from personas.store import PersonaStore
from telephony.carrier import Carrier
from telephony.errors import CarrierSilent, CarrierUnavailable

ELSEWHERE = (
    "Another process carries this call, and without the account SID and auth token of the carrier "
    "(PARLEY_TWILIO_ACCOUNT_SID, PARLEY_TWILIO_AUTH_TOKEN) it can't be reached from here."
)
NOBODY = "The number that was called has no human; type a number, or set one with `parley numbers set … --human …`."
REFUSED, UNANSWERED = "operator_refused", "operator_unanswered"
TEST_ELSEWHERE = "Another process carries this test call; it is ended on the page on which it was begun."
OVER = "The call is over already."
_DONE_WITHIN_S = 1.0


class LiveDesk:
    """``crm.admin.live.LiveView`` of the product."""

    def __init__(
        self,
        live: LiveCalls,
        neighbours: LiveNeighbours,
        calls: CallStore,
        personas: PersonaStore,
        carrier: Carrier,
    ) -> None:
        self._live = live
        self._neighbours = neighbours
        self._calls = calls
        self._personas = personas
        self._carrier = carrier

    @property
    def can_reach(self) -> bool:
        return self._carrier.can_call

    async def media_ms(self, call: Call) -> int | None:
        control = self._live.control(call.id)
        return await self._neighbours.media_ms(call) if control is None else control.media_ms

    async def lines(self, call: Call) -> AsyncIterator[LiveLine]:
        if self._live.control(call.id) is None:
            async for line in self._neighbours.lines(call):
                yield line
        async for event in self._live.watch(call.id):
            if line := line_of(event):
                yield line

    async def hang_up(self, call: Call, user: str) -> None:
        if control := self._live.control(call.id):
            control.hang_up(user)
            return
        if await self._neighbours.hang_up(call, user):
            return
        reason = f"{user} ended the call from its page."
        await self._ask(call, AskedEnding("agent_hung_up", reason), CallEvent("operator_hung_up", 0, user))

    async def hand_off(self, call: Call, handoff: Handoff, user: str) -> None:
        control = self._live.control(call.id)
        done = control.hand_off(handoff, user) if control else await self._neighbours.hand_off(call, handoff, user)
        if done:
            return
        if done is False:
            raise LiveRefused(NOBODY)
        number = await self._personas.number_settings(call.to_number)
        queue, human = (number.queue_name, number.human_number) if number else ("", "")
        if not (handoff.to or human or (handoff.mode == "queue" and queue)):
            raise LiveRefused(NOBODY)
        reason = f"{user} handed the call over from its page."
        await self._ask(call, AskedEnding("transferred", reason, handoff), CallEvent("operator_handed_off", 0, user))

    async def _ask(self, call: Call, asked: AskedEnding, event: CallEvent) -> None:
        """Leave word in the log how the call shall end, and have the carrier end its stream."""
        if call.is_test:
            raise LiveRefused(TEST_ELSEWHERE)
        if not self._carrier.can_call:
            raise LiveRefused(ELSEWHERE)
        if not await self._calls.request_ending(call.id, asked):
            raise LiveRefused(OVER)
        await self._calls.add_events(call.id, [event])
        kind, refusal = REFUSED, ""
        try:
            if not await self._carrier.redirect(call.carrier_call_id, part=call.part):
                refusal = OVER
        except CarrierSilent as error:
            await asyncio.sleep(_DONE_WITHIN_S)  # what it has done shows in the call's row
            kind, refusal = UNANSWERED, f"{str(error).rstrip('.')}; so far the call goes on."
        except CarrierUnavailable as error:
            refusal = f"{str(error).rstrip('.')}; the call goes on."
        # Withdrawn, unless the call has ended so: what ends its stream later would be taken for what was asked here.
        if refusal and await self._calls.withdraw_ending(call.id, CallEvent(kind, 0, refusal)):
            raise LiveRefused(refusal)
