"""A ringing call → persona, reserved slot, row, instruction; and what its caller hears when the stream is over.

webhook ─▶ answer ─▶ ConnectStream(nonce) ─▶ media ─▶ run_call        any trouble ─▶ a spoken sentence
action ──▶ after_stream ─▶ HangUp | a spoken sentence
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from weakref import WeakValueDictionary

import structlog

from agent.call import FAILED, NONCE, Switchboard, claim_call, run_call
from agent.duplex import DuplexError, DuplexSession, EngineFull, RolePrompt
from agent.logs import log_failure
from agent.pipeline.ending import CallEnd, Ending
from agent.reservations import EXPIRES_S, Reservations
from agent.role import role_for
from crm.call import Call, NewCall, Outcome
from personas.errors import NotPublished, PersonaError, UnknownNumber
from telephony.carrier import ConnectStream, HangUp, InboundCall, Instruction, MediaSocket, SayAndHangUp, StreamEnded
from telephony.errors import BadStream

log = structlog.get_logger(__name__)

APOLOGY = "We are sorry, a technical problem has ended this call. Please call again in a few minutes. Goodbye."
REFUSALS: Mapping[Outcome, str] = {
    "unknown_number": "The number you have called is not in service. Goodbye.",
    "not_published": "We are sorry, this line is not open yet. Please call again later. Goodbye.",
    "engine_full": "All our lines are busy at the moment. Please call again in a few minutes. Goodbye.",
    "engine_unavailable": "We are sorry, we cannot take your call at the moment. Please call again later. Goodbye.",
}
"""What the caller hears where nobody can answer; an outcome that is not named here gets the apology."""

SHUT_DOWN = Ending("gateway_lost", "The server was shut down during the call.")
NEVER_CONNECTED = f"No media socket came within {EXPIRES_S:g} seconds of the answer."
_LEFT_EARLY = "The carrier ended the stream before it reached us."
_NOTHING_TO_SAY: frozenset[Outcome] = frozenset({"caller_hung_up", "agent_hung_up", "time_limit"})
_LINE_IS_DOWN = frozenset({"completed", "canceled", "failed", "busy", "no-answer"})
_ENGINE_OPENS_S = 5.0
_ENDING_SETTLES_S = 0.5
_CALLS_FINISH_S = 10.0


class _Refused(Exception):
    """Nobody can take the call; the message is for the operator."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome
        self.reason = reason


class CallDesk:
    """``telephony.carrier.CallHandler`` of the product; an async context manager that its calls live in."""

    def __init__(self, board: Switchboard, *, reservation_s: float = EXPIRES_S) -> None:
        self._board = board
        self._group = asyncio.TaskGroup()
        self._reservations = Reservations(self._group, self._never_connected, reservation_s)
        self._answers: dict[str, Instruction] = {}
        self._live: dict[str, CallEnd] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._all_over = asyncio.Event()
        self._all_over.set()
        self.draining = False

    async def __aenter__(self) -> "CallDesk":
        await self._group.__aenter__()
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

    async def close(self) -> None:
        """Take no more calls, end those that live and wait for their rows; harmless twice."""
        self.draining = True
        for call_id in await self._reservations.release_all():
            await self._end_unconnected(call_id, SHUT_DOWN)
        for end in self._live.values():
            end.settle(SHUT_DOWN)
        try:
            async with asyncio.timeout(_CALLS_FINISH_S):
                await self._all_over.wait()
        except TimeoutError:
            log.error("calls did not finish in time", calls=len(self._live))

    async def answer(self, call: InboundCall) -> Instruction:
        """Decide a ringing call; a repeated webhook gets the same answer and no second slot."""
        lock = self._locks.setdefault(call.call_id, asyncio.Lock())
        async with lock:
            known = self._answers.get(call.call_id)
            if known is not None:
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

    async def after_stream(self, ended: StreamEnded) -> Instruction:
        """Decide what the caller hears after the stream: nothing after a finished call, else why it ended."""
        outcome = await self._outcome(ended)
        if ended.call_status in _LINE_IS_DOWN or outcome in _NOTHING_TO_SAY:
            return HangUp()
        return SayAndHangUp(REFUSALS.get(outcome, APOLOGY))

    async def _first_answer(self, call: InboundCall) -> Instruction:
        new = _new_call(call)
        try:
            if self.draining:
                raise _Refused("engine_unavailable", "The server is shutting down.")
            new, role = await self._role(call)
            session = await self._open(role)
        except _Refused as refusal:
            await self._board.calls.refuse_call(new, refusal.outcome, refusal.reason)
            log.warning("call refused", outcome=refusal.outcome, reason=refusal.reason)
            return SayAndHangUp(REFUSALS.get(refusal.outcome, APOLOGY))
        try:
            opened = await self._board.calls.open_call(new)
        except BaseException:
            await session.close()
            self._group.create_task(self._end_unconnected(call.call_id, FAILED))  # it may have been written
            raise
        self._reservations.hold(call.call_id, session)
        instruction = ConnectStream({NONCE: opened.nonce})
        self._answers[call.call_id] = instruction
        log.info("call answered", call_id=opened.call.id, persona=new.persona_slug)
        return instruction

    async def _answer_again(self, call: InboundCall, row: Call) -> Instruction:
        """Answer a webhook that was answered by another process, or that nobody followed up."""
        if row.status == "refused":
            return SayAndHangUp(REFUSALS.get(row.outcome, APOLOGY))
        opened = await self._board.calls.open_call(_new_call(call))
        return ConnectStream({NONCE: opened.nonce}) if opened.nonce else HangUp()

    async def _role(self, call: InboundCall) -> tuple[NewCall, RolePrompt]:
        board = self._board
        try:
            version = await board.personas.published_for_number(call.to_number)
        except UnknownNumber as error:
            raise _Refused("unknown_number", str(error)) from None
        except NotPublished as error:
            raise _Refused("not_published", str(error)) from None
        except PersonaError as error:  # a card that this version of Parley can't read
            raise _Refused("not_published", str(error)) from None
        customer = await board.calls.customer_by_number(call.from_number) if call.from_number else None
        role = role_for(version.card, customer)
        new = _new_call(
            call,
            persona_slug=version.persona_slug,
            persona_version_id=version.id,
            persona_title=version.card.title,
            engine=board.engine.name,
            role_prompt=role.text,
        )
        return new, role

    async def _open(self, role: RolePrompt) -> DuplexSession:
        try:
            async with asyncio.timeout(_ENGINE_OPENS_S):
                return await self._board.engine.open(role)
        except EngineFull as error:
            raise _Refused("engine_full", str(error)) from None
        except DuplexError as error:
            raise _Refused("engine_unavailable", str(error)) from None
        except TimeoutError:
            raise _Refused("engine_unavailable", f"The engine gave no slot in {_ENGINE_OPENS_S:g} seconds.") from None

    async def _carry(self, socket: MediaSocket, end: CallEnd) -> BadStream | None:
        """Claim and run the call; returns, because what a task raises would end the calls beside it."""
        try:
            call = await claim_call(self._board, socket)
        except BadStream as error:
            return error
        except Exception as error:
            log_failure(log, "call could not be claimed", error)
            return BadStream("The call could not be claimed.")
        self._live[call.carrier_call_id] = end
        self._all_over.clear()
        if self.draining:
            end.settle(SHUT_DOWN)
        try:
            await run_call(self._board, socket, call, self._reservations.take(call.carrier_call_id), end)
        except Exception as error:
            log_failure(log, "call failed", error)
            await self._finish_row(call.id, FAILED)
        finally:
            del self._live[call.carrier_call_id]
            self._answers.pop(call.carrier_call_id, None)
            if not self._live:
                self._all_over.set()
        return None

    async def _outcome(self, ended: StreamEnded) -> Outcome:
        """Return how the call ended; empty while nobody knows."""
        if end := self._live.get(ended.call_id):
            try:
                async with asyncio.timeout(_ENDING_SETTLES_S):
                    return (await end.wait()).outcome
            except TimeoutError:
                return ""
        row = await self._board.calls.call_by_carrier_id(self._board.carrier.name, ended.call_id)
        if row is not None and row.status == "ringing":
            await self._reservations.release(ended.call_id)
            hung_up = ended.call_status in _LINE_IS_DOWN
            await self._end_unconnected(
                ended.call_id, Ending("caller_hung_up" if hung_up else "stream_failed", _LEFT_EARLY)
            )
        return "" if row is None else row.outcome

    async def _never_connected(self, call_id: str) -> None:
        await self._end_unconnected(call_id, Ending("stream_failed", NEVER_CONNECTED))

    async def _end_unconnected(self, call_id: str, ending: Ending) -> None:
        """End the row of a call that still rings; one that another process carries is left alone."""
        self._answers.pop(call_id, None)
        try:
            row = await self._board.calls.call_by_carrier_id(self._board.carrier.name, call_id)
            if row is not None and row.status == "ringing":
                await self._finish_row(row.id, ending)
        except Exception as error:  # the database is away; the next start marks the call lost
            log_failure(log, "call could not be ended", error)

    async def _finish_row(self, call_id: str, ending: Ending) -> None:
        try:
            await self._board.calls.finish(call_id, status="ended", outcome=ending.outcome, reason=ending.reason)
        except Exception as error:
            log_failure(log, "call could not be written", error)


def _new_call(
    call: InboundCall,
    *,
    persona_slug: str | None = None,
    persona_version_id: int | None = None,
    persona_title: str = "",
    engine: str = "",
    role_prompt: str = "",
) -> NewCall:
    return NewCall(
        carrier=call.carrier,
        carrier_call_id=call.call_id,
        account_id=call.account_id,
        from_number=call.from_number,
        to_number=call.to_number,
        persona_slug=persona_slug,
        persona_version_id=persona_version_id,
        persona_title=persona_title,
        engine=engine,
        role_prompt=role_prompt,
    )
