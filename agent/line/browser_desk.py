"""Test calls: who is signed in to the console talks to a persona version, as a caller would to a published one.

page ─▶ answer ─▶ a slot that callers can spare ─▶ row, marked as a test ─▶ ConnectStream ─▶ media, as any call
page ◀─ told ──── the call's id, both sides' words
page ─▶ what_next ─▶ how it ended, and what a caller would meet now: no human is rung, nothing is reconnected
"""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, replace

import structlog

from agent.call import Switchboard
from agent.line.answer import CallDesk
from agent.line.next_step import LOSSES
from agent.line.opening import Refused, new_call
from agent.live import CallOver, CallStarted, line_of
from agent.logs import log_failure
from crm.admin.words import OUTCOMES, in_words
from crm.call import Call, Handoff
from personas.errors import PersonaError, UnknownVersion
from personas.versions import PersonaVersion
from telephony.carrier import InboundCall, Instruction, MediaSocket, NextAsked, SayAndHangUp
from telephony.carriers.browser import BrowserCarrier
from telephony.carriers.browser.media import BrowserMedia
from telephony.errors import BadStream

log = structlog.get_logger(__name__)

_VERSION = "version "
_NO_VERSION = "This persona version is not there any more; reload the page."
# Short enough for the reason of a closed socket.
_KEPT = "A test leaves the last free lines ({free} of {slots}) to callers: try later, or set PARLEY_TEST_KEEPS_SLOTS."
_WOULD_GO_ON = "A caller would now be reconnected, or handed to a human."
_NOBODY_RUNG = "Nobody is rung in a test."


class BrowserDesk(CallDesk):
    """The desk of browsers: another answer to who calls, and to what comes next; the calls themselves are the same."""

    def __init__(
        self,
        board: Switchboard,
        carrier: BrowserCarrier,
        *,
        keeps_slots: int = 1,
        too_busy: Callable[[], str] = lambda: "",
    ) -> None:
        """``keeps_slots`` of the engine are left to callers, as far as the engine says how many it has."""
        super().__init__(replace(board, carrier=carrier), too_busy=too_busy)
        self._browsers = carrier
        self._keeps_slots = keeps_slots

    async def __aenter__(self) -> "BrowserDesk":
        await self._group.__aenter__()  # nobody hands browsers on: this process is known by its callers' desk already
        return self

    def dial(self, version_id: int, user: str) -> Mapping[str, object]:
        """Return what the page of ``user`` needs to call a persona version, draft or not, as JSON's values."""
        return asdict(self._browsers.dial(f"{_VERSION}{version_id}", user))

    async def media(self, socket: MediaSocket) -> None:
        if not self._opening.known(socket.start.call_id):  # another process answered: its slot is not one of ours
            try:
                self._leave_slots()
            except Refused as refusal:
                raise BadStream(refusal.reason) from None
        call = await self._board.calls.call_by_carrier_id(self._browsers.name, socket.start.call_id)
        # Begun before the call is, so that nothing of it is missed.
        telling = self._group.create_task(self._tell(socket, call.id)) if call else None
        try:
            await super().media(socket)
        finally:
            if telling:
                telling.cancel()

    async def _tell(self, socket: MediaSocket, id_of_call: str) -> None:
        """Tell the page its call's id and words, from its connection on: until then the socket may be anybody's."""
        try:
            assert isinstance(socket.protocol, BrowserMedia)
            async with aclosing(self._board.live.subscribe()) as events:
                async for call_id, event in events:
                    if call_id != id_of_call:
                        continue
                    if isinstance(event, CallStarted):
                        await socket.send(socket.protocol.told(call=call_id))
                    elif line := line_of(event):
                        await socket.send(socket.protocol.told(**asdict(line)))
                    elif isinstance(event, CallOver):
                        return
        except Exception as error:  # what a task raises would end the calls beside it
            log_failure(log, "page could not be told of its call", error)

    async def _first_answer(self, call: InboundCall) -> Instruction:
        try:
            version = await self._version(call)
            new = replace(new_call(call), to_number="", is_test=True)
            new, role = self._opening.of_version(new, version)
            if why := "The server is shutting down." if self.draining else self._too_busy():
                raise Refused("engine_full", why)
            self._leave_slots()
            return await self._opening.connect(new, role)
        except Refused as refusal:
            log.info("test call refused", outcome=refusal.outcome, reason=refusal.reason)
            return SayAndHangUp(refusal.reason)

    async def _version(self, call: InboundCall) -> PersonaVersion:
        number = call.to_number.removeprefix(_VERSION)
        if not number.isdecimal():
            raise Refused("not_published", _NO_VERSION)
        try:
            return await self._board.personas.version(int(number))
        except UnknownVersion:
            raise Refused("not_published", _NO_VERSION) from None
        except PersonaError as error:  # a card that this version of Parley can't read
            raise Refused("not_published", str(error)) from None

    def _leave_slots(self) -> None:
        """Take no slot that callers need; an engine that has none yet does not know how many it will have."""
        capacity = self._board.engine.capacity()
        free = capacity.slots - capacity.used
        if capacity.slots and 0 < free <= self._keeps_slots:
            raise Refused("engine_full", _KEPT.format(free=free, slots=capacity.slots))

    async def _of_parts(self, asked: NextAsked, parts: list[Call]) -> Instruction:
        outcome, handoff = await self._how_it_ended(parts[-1])
        if handoff:
            return SayAndHangUp(_handed_over(handoff))
        if outcome == "caller_hung_up":
            return SayAndHangUp("You hung up.")
        call = await self._board.calls.call(parts[-1].id)
        how = in_words(call) if call.outcome else OUTCOMES.get(outcome, "The call is over")
        return SayAndHangUp(f"{how}. {_WOULD_GO_ON}" if outcome in LOSSES else f"{how}.")


def _handed_over(handoff: Handoff) -> str:
    """Return where a caller would be now, and that nobody was disturbed for it."""
    to = handoff.to or "the human of the number that was called"
    if handoff.mode == "queue":
        where = f"would now wait in the queue of {to}"
    else:
        where = f"would now be put through to {to}"
        where += ", who would be told first what it is about" if handoff.mode == "warm" else ""
    return f"The agent hands the call over: a caller {where}. {_NOBODY_RUNG}"
