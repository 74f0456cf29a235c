"""Who answers a ringing call, who carries its stream, and what its caller meets when that is over.

webhook ─▶ answer ─▶ ConnectStream(nonce) ─▶ media ─▶ run_call        nobody can ─▶ wait | human | voicemail | sentence
action ──▶ what_next ─▶ agent.line.aftermath
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from weakref import WeakValueDictionary

import structlog

from agent.call import FAILED, NONCE, Switchboard, claim_call, run_call
from agent.line import sentences
from agent.line.aftermath import LINE_IS_DOWN, Aftermath
from agent.line.colleagues import Colleagues
from agent.line.decisions import Decisions
from agent.line.hand_off import PENDING, HandOffs
from agent.line.lobby import Lobby
from agent.line.opening import Opening, Refused, new_call
from agent.line.reservations import EXPIRES_S, Reservations
from agent.live import Noted
from agent.logs import log_failure
from agent.pipeline.ending import CallEnd, Ending
from crm.call import Call, Handoff, NewCall, Outcome, Status
from crm.gateways import Gateways
from crm.recorder import recover_lost_call
from personas.errors import BadNumberSetting
from personas.numbers import MESSAGE, OPEN, VOICEMAIL, NumberSettings
from telephony.carrier import (
    ConnectStream,
    HangUp,
    Hold,
    InboundCall,
    Instruction,
    MediaSocket,
    NextAsked,
    SayAndHangUp,
    TakeMessage,
)
from telephony.errors import BadStream

log = structlog.get_logger(__name__)

SHUT_DOWN = Ending("gateway_lost", "The server was shut down during the call.")
NEVER_CONNECTED = f"No media socket came within {EXPIRES_S:g} seconds of the answer."
_LEFT_EARLY = "The carrier ended the stream before it reached us."
_CLOSED = "The call came outside of the number's opening hours."
_ABANDONED = Ending("abandoned", "The caller hung up while waiting for a free line.")
_ENDING_SETTLES_S = 3.0
_ELSEWHERE_SETTLES_S = 0.7
_CALLS_FINISH_S = 10.0


class CallDesk:
    """``telephony.carrier.CallHandler`` of the product; an async context manager that its calls live in."""

    def __init__(
        self,
        board: Switchboard,
        *,
        reservation_s: float = EXPIRES_S,
        too_busy: Callable[[], str] = lambda: "",
        gateways: Gateways | None = None,
    ) -> None:
        """``too_busy()`` returns a sentence while the process can take no more calls, else "". ``gateways`` says how
        this process is reached by others.
        """
        self._board = board
        self._too_busy = too_busy
        self._group = asyncio.TaskGroup()
        self._reservations = Reservations(self._group, self._never_connected, reservation_s, self._is_carried)
        self._opening = Opening(board, self._reservations, self._end_failed)
        self._lobby = Lobby(self._group, self._abandoned)
        self._hand_offs = HandOffs(board, self._group)
        gateways = gateways or Gateways(board.calls.database, board.calls.gateway)
        self._colleagues = Colleagues(self._group, board, gateways)
        self._aftermath = Aftermath(self._group, board, self._opening, self._hand_offs, self._lobby, self._colleagues)
        self._live: dict[str, CallEnd] = {}
        self._carrying: dict[str, asyncio.Task[BadStream | None]] = {}
        self._decisions = Decisions(self._group, self._what_next)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._all_over = asyncio.Event()
        self._all_over.set()
        self._closed = False

    async def __aenter__(self) -> "CallDesk":
        await self._group.__aenter__()
        self._colleagues.join()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        await self._group.__aexit__(None, None, None)  # its tasks never raise: what the block raises is its own

    @property
    def live_calls(self) -> int:
        """How many calls are connected."""
        return len(self._live)

    @property
    def draining(self) -> bool:
        """Whether no more calls are taken."""
        return self._aftermath.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._aftermath.draining = draining
        if draining:
            self._colleagues.retire()

    async def until_idle(self) -> None:
        """Return when no call is connected or about to be, and who waited has been told or left to another process."""
        await asyncio.gather(self._until_none_live(), self._lobby.until_heard(), self._hand_offs.until_none())

    async def _until_none_live(self) -> None:
        while self._live or self._reservations.count:
            await self._reservations.until_none()
            await self._all_over.wait()

    async def close(self) -> None:
        """Take no more calls, end those that live and wait for their rows; harmless twice."""
        self.draining = self._closed = True
        self._lobby.close()
        self._hand_offs.close()
        for call_id in await self._reservations.release_all():
            await self._end_unconnected(call_id, SHUT_DOWN)
        for end in self._live.values():
            end.settle(SHUT_DOWN)
        try:
            async with asyncio.timeout(_CALLS_FINISH_S):
                await self._all_over.wait()
        except TimeoutError:
            log.error("calls did not finish in time", calls=len(self._live))
        self._colleagues.close()

    async def answer(self, call: InboundCall) -> Instruction:
        """Decide a ringing call; a repeated webhook gets the same answer and no second slot."""
        async with self._lock(call.call_id):
            if known := self._opening.known(call.call_id):
                return known
            row = await self._board.calls.call_by_carrier_id(call.carrier, call.call_id)
            return await (self._first_answer(call) if row is None else self._answer_again(call, row))

    async def media(self, socket: MediaSocket) -> None:
        """Run the call on an accepted socket; if this is cancelled, the call still finishes its row.

        Raises:
            BadStream: the socket may not carry the call.
        """
        end = CallEnd()
        carrying = self._group.create_task(self._carry(socket, end))
        try:
            refused = await asyncio.shield(carrying)
        except asyncio.CancelledError:
            end.settle(SHUT_DOWN)
            raise
        if refused:
            raise refused

    async def what_next(self, asked: NextAsked) -> Instruction:
        """Decide what comes next in a call; whatever is asked twice is answered twice, and done once.

        Who would wait for it in silence hears it ring, and is told when they ask again.
        """
        if asked.about_call:
            parts = await self._board.calls.parts(self._board.carrier.name, asked.about_call)
            about = next((part for part in parts if part.part == asked.part), None)
            return await self._hand_offs.of_human(asked, about)
        return await self._decisions.on(asked)

    async def _what_next(self, asked: NextAsked) -> Instruction:
        calls, carrier = self._board.calls, self._board.carrier.name
        async with self._lock(asked.call_id):
            parts = await calls.parts(carrier, asked.call_id)
            if asked.recording_url and parts:
                await calls.save_voicemail(parts[-1].id, asked.recording_url)
            if asked.call_status in LINE_IS_DOWN:
                await self._line_is_down(parts)
                return HangUp()
            if not parts:
                return SayAndHangUp(sentences.APOLOGY)
            return await self._of_parts(asked, parts)

    async def _of_parts(self, asked: NextAsked, parts: list[Call]) -> Instruction:
        last = parts[-1]
        if asked.after in ("status", "recorded"):
            return HangUp()
        if asked.after == "record":
            return SayAndHangUp(sentences.THANKS)
        if asked.part and asked.part < last.part:  # asked again: the answer was the part that there is now
            return await self._connect_again(last)
        if last.status == "waiting":
            return await self._aftermath.of_wait(parts)
        if asked.after in ("dial", "queue"):
            return await self._aftermath.of_human(parts, asked)
        if asked.after == "wait":
            is_handed_off = last.handoff is not None and last.handoff.mode == "warm"
            return await (self._aftermath.of_room(parts, asked) if is_handed_off else self._connect_again(last))
        outcome, handoff = await self._how_it_ended(last)
        parts = await self._board.calls.parts(last.carrier, last.carrier_call_id)
        return await self._aftermath.of_stream(parts, outcome, handoff)

    def _lock(self, call_id: str) -> asyncio.Lock:
        return self._locks.setdefault(call_id, asyncio.Lock())

    async def _first_answer(self, call: InboundCall) -> Instruction:
        number = await self._board.personas.number_settings(call.to_number)
        slug = _out_of_hours(number)
        if slug in (VOICEMAIL, MESSAGE):
            row = await self._board.calls.refuse_call(new_call(call), "out_of_hours", _CLOSED)
            self._board.live.publish(row.id, Noted("refused", 0, "out_of_hours"))
            return _closed(row, slug)
        new = new_call(call)
        try:
            new, role = await self._opening.role(call, slug)
            if self.draining:
                return await self._elsewhere(new)
            if why := self._too_busy():
                raise Refused("engine_full", why)
            capacity = self._board.engine.capacity()
            if not self._lobby.is_next(call.call_id, capacity.slots - capacity.used):
                raise Refused("engine_full", "Callers who came earlier wait for a free line.")
            return await self._opening.connect(new, role)
        except Refused as refusal:
            return await self._aftermath.refuse(new, refusal, number)

    async def _elsewhere(self, new: NewCall) -> Instruction:
        if passed_on := await self._aftermath.pass_on(new):
            return passed_on
        raise Refused("engine_unavailable", "The server is shutting down.")

    async def _answer_again(self, call: InboundCall, row: Call) -> Instruction:
        """Answer a webhook that was answered by another process, or that nobody followed up."""
        if row.status == "refused":
            number = await self._board.personas.number_settings(call.to_number)
            slug = _out_of_hours(number)
            is_closed = row.outcome == "out_of_hours" and slug in (VOICEMAIL, MESSAGE)
            return _closed(row, slug) if is_closed else await self._aftermath.again(row, number)
        return await self._connect_again(row)

    async def _connect_again(self, row: Call) -> Instruction:
        """Give a call that rings another nonce; one that is connected, or over, needs no instruction."""
        if row.status == "waiting":
            return Hold(row.part, sentences.please_wait(row.part))
        if known := self._opening.known(row.carrier_call_id):
            return known
        opened = await self._board.calls.open_call(self._opening.as_new(row)) if row.status == "ringing" else None
        return ConnectStream({NONCE: opened.nonce}, row.part) if opened and opened.nonce else HangUp()

    async def _carry(self, socket: MediaSocket, end: CallEnd) -> BadStream | None:
        """Claim and run the call; returns, because what a task raises would end the calls beside it."""
        try:
            call = await claim_call(self._board, socket)
        except BadStream as error:
            return error
        except Exception as error:
            log_failure(log, "call could not be claimed", error)
            return BadStream("The call could not be claimed.")
        self._opening.forget(call.carrier_call_id)
        self._live[call.carrier_call_id] = end
        if task := asyncio.current_task():
            self._carrying[call.carrier_call_id] = task
        self._all_over.clear()
        if self._closed:
            end.settle(SHUT_DOWN)
        try:
            await run_call(self._board, socket, call, self._reservations.take(call.carrier_call_id), end)
        except Exception as error:
            log_failure(log, "call failed", error)
            await self._finish(call, FAILED)
        finally:
            self._live.pop(call.carrier_call_id, None)
            self._carrying.pop(call.carrier_call_id, None)
            if not self._live:
                self._all_over.set()
        return None

    async def _how_it_ended(self, call: Call) -> tuple[Outcome, Handoff | None]:
        """Return how a part's stream ended, which may not have come to its row yet; "" if nobody knows."""
        end = self._live.get(call.carrier_call_id)
        if carrying := self._carrying.get(call.carrier_call_id):
            await asyncio.wait((carrying,), timeout=_ENDING_SETTLES_S)
        elif call.status == "ringing":
            await self._reservations.release(call.carrier_call_id)
            self._opening.forget(call.carrier_call_id)
            await self._finish(call, Ending("stream_failed", _LEFT_EARLY), expect="ringing")
        elif call.status == "live":
            await self._wait_for_another_process(call)
        row = await self._board.calls.call(call.id)
        if row.status != "live":
            return row.outcome, row.handoff
        ended = row.asked or (end.ending if end else None)  # what its row can't take yet
        return (ended.outcome, ended.handoff) if ended else ("", None)

    async def _wait_for_another_process(self, call: Call) -> None:
        """Let the process that carries a call write its end; where it is gone, keep what it left of the call."""
        calls = self._board.calls
        if not calls.is_left_behind(call):
            await asyncio.sleep(_ELSEWHERE_SETTLES_S)
            call = await calls.call(call.id)
        if call.status == "live" and not call.asked:  # it is gone, or hangs
            await recover_lost_call(calls, self._board.recordings, call)

    async def _line_is_down(self, parts: list[Call]) -> None:
        """End what goes on without a caller; a live stream ends by itself."""
        if not parts:
            return
        call = parts[-1]
        self._lobby.leave(call.carrier_call_id)
        if call.status == "ringing":
            await self._reservations.release(call.carrier_call_id)
            self._opening.forget(call.carrier_call_id)
            await self._finish(call, Ending("caller_hung_up", _LEFT_EARLY), expect="ringing")
        elif call.status == "waiting":
            await self._finish(call, _ABANDONED, expect="waiting")
        for part in parts:
            if part.handoff_result in PENDING:
                await self._hand_offs.over(part, "over")

    async def _never_connected(self, call_id: str) -> None:
        await self._end_unconnected(call_id, Ending("stream_failed", NEVER_CONNECTED), "ringing")

    async def _is_carried(self, call_id: str) -> bool:
        """Whether a call that was answered here has been connected, by whichever process."""
        try:
            row = await self._board.calls.call_by_carrier_id(self._board.carrier.name, call_id)
        except Exception as error:  # asked again in a second
            log_failure(log, "call could not be looked up", error)
            return False
        return row is not None and row.status == "live"

    async def _abandoned(self, call_id: str) -> None:
        await self._end_unconnected(call_id, _ABANDONED, "waiting")

    def _end_failed(self, call_id: str) -> None:
        self._group.create_task(self._end_unconnected(call_id, FAILED, "ringing"))

    async def _end_unconnected(self, call_id: str, ending: Ending, status: Status = "ringing") -> None:
        """End the row of a call that still rings or waits; one that is carried, wherever, is left alone."""
        self._opening.forget(call_id)
        try:
            row = await self._board.calls.call_by_carrier_id(self._board.carrier.name, call_id)
            heard_elsewhere = row is not None and status == "waiting" and row.gateway != self._board.calls.gateway
            if row is not None and not heard_elsewhere:
                await self._finish(row, ending, expect=status)
        except Exception as error:  # the database is away; the next start marks the call lost
            log_failure(log, "call could not be ended", error)

    async def _finish(self, call: Call, ending: Ending, expect: Status | None = None) -> None:
        """Write a call's end, if it is in the status ``expect``: it may just have been connected."""
        try:
            await self._board.calls.finish(
                call.id, status="ended", outcome=ending.outcome, reason=ending.reason, expect=expect
            )
        except Exception as error:
            log_failure(log, "call could not be written", error)


def _out_of_hours(number: NumberSettings | None) -> str:
    """Return what a closed number does instead, "" while it is open."""
    if number is None or number.out_of_hours == OPEN:
        return ""
    try:
        return "" if number.is_open(datetime.now(UTC)) else number.out_of_hours
    except BadNumberSetting as error:  # rather open than closed for ever
        log.warning("opening hours can't be read", reason=str(error))
        return ""


def _closed(call: Call, how: str) -> Instruction:
    if how == VOICEMAIL:
        return TakeMessage(sentences.LEAVE_MESSAGE, call.part)
    return SayAndHangUp(sentences.refusal("out_of_hours"))
