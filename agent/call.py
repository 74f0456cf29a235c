"""One call, from its media socket to its row.

socket ─▶ claim (nonce, call, account) ─▶ session ─▶ pipeline … ending ─▶ row ─▶ socket closed ─▶ line hung up
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

import structlog
from opentelemetry.trace import SpanKind

from agent.customer_lookup import CustomerLookup
from agent.duplex import DuplexEngine, DuplexError, DuplexSession, EngineFull
from agent.live import CallOver, CallStarted, LiveCalls
from agent.logs import log_failure
from agent.pipeline.announcer import Speak
from agent.pipeline.attendant import Duties
from agent.pipeline.build import CallPipeline
from agent.pipeline.ending import CallEnd, Ending
from agent.pipeline.opening_session import OpeningSession
from agent.pipeline.ring_back import rings_until
from agent.pipeline.watch import Patience
from agent.role import role_for
from agent.tracing.spans import span
from crm.call import Call, Handoff
from crm.errors import NonceRefused
from crm.recorder import CallRecorder
from crm.recordings import Recordings
from crm.store import CallStore
from personas.errors import PersonaError
from personas.store import PersonaStore
from telephony.carrier import Carrier, MediaSocket
from telephony.errors import BadStream, CarrierUnavailable

log = structlog.get_logger(__name__)

NONCE = "nonce"
TIME_LIMIT = Ending("time_limit", "The call reached PARLEY_MAX_CALL_S.")
FAILED = Ending("gateway_lost", "The call failed on our side; the log of the server says where.")
_SESSION_CLOSES_S = 5.0
_ROW_BEFORE_CLOSE_S = 0.7
_DUTIES_WITHIN_S = 1.0
_TO_HANG_UP = ("agent_hung_up", "time_limit", "caller_silent")


@dataclass(frozen=True, slots=True)
class Switchboard:
    """What every call of this process shares.

    Without ``speak`` nothing is said but what the engine says; without ``lookup`` callers are known from the database.
    """

    engine: DuplexEngine
    personas: PersonaStore
    calls: CallStore
    recordings: Recordings
    live: LiveCalls
    carrier: Carrier
    ready_timeout_s: float
    max_call_s: float
    patience: Patience = field(default_factory=Patience)
    speak: Speak | None = None
    lookup: CustomerLookup | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """How long a call was carried, in milliseconds of media time, and what was measured of it."""

    media_ms: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reserved:
    """What an answered call finds when its stream comes: its slot, and what else it asks for, being read meanwhile."""

    session: DuplexSession
    duties: Awaitable[Duties]


async def claim_call(board: Switchboard, socket: MediaSocket) -> Call:
    """Find out which call a socket carries, before anything of it reaches the engine.

    Raises:
        BadStream: its nonce is missing, used, or another call's or account's.
    """
    start = socket.start
    try:
        claimed = board.calls.claim(start.call_id, start.account_id, start.parameters.get(NONCE, ""))
        return await rings_until(claimed, socket)
    except NonceRefused as error:
        raise BadStream(str(error)) from None


async def run_call(
    board: Switchboard, socket: MediaSocket, call: Call, reserved: Reserved | None, end: CallEnd
) -> None:
    """Carry a claimed call to its end, whatever that is, and write its row; never raises.

    Without a session ``reserved`` when the call was answered (another process did) one is opened now, while the
    caller hears it ring. Whoever settles ``end`` ends the call.
    """
    structlog.contextvars.bind_contextvars(call_id=call.id)
    recorder = CallRecorder(call.id, board.calls, board.recordings)

    def failed(error: Exception) -> None:
        if isinstance(error, DuplexError | PersonaError):
            end.settle(Ending("engine_full" if isinstance(error, EngineFull) else "engine_unavailable", str(error)))
        else:
            log_failure(log, "call could not be started", error)
            end.settle(FAILED)

    opened = reserved or Reserved(OpeningSession(_open_session(board, call), failed), duties_of(board, call))
    carried = await _converse(board, socket, call, opened, recorder, end)
    ending = await end.wait()
    await _finish(board, socket, recorder, ending, carried)
    if ending.outcome in _TO_HANG_UP:
        await _hang_up(board.carrier, call)


async def _open_session(board: Switchboard, call: Call) -> DuplexSession:
    if call.persona_version_id is None:
        raise PersonaError("The call has no persona.")
    version = await board.personas.version(call.persona_version_id)
    role = role_for(version.card, call.customer, await board.calls.history(call))
    with span("open session", SpanKind.CLIENT, engine=board.engine.name):
        return await board.engine.open(role)


async def _converse(
    board: Switchboard, socket: MediaSocket, call: Call, opened: Reserved, recorder: CallRecorder, end: CallEnd
) -> Carried:
    """Run the pipeline until ``end`` is settled; return how long it ran and what was measured."""
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(board.max_call_s, end.settle, TIME_LIMIT)]
    try:
        duties = await opened.duties
        pipeline = CallPipeline(
            socket, opened.session, recorder, board.live, end, ready_timeout_s=board.ready_timeout_s, duties=duties
        )
        warning_s = board.patience.time_warning_s
        if 0 < 2 * warning_s < board.max_call_s:
            timers.append(loop.call_later(board.max_call_s - warning_s, pipeline.warn, warning_s))
        board.live.carry(call.id, pipeline)
        board.live.publish(call.id, CallStarted(call.persona_slug or "", call.persona_title))
        log.info("call connected", persona=call.persona_slug)
        await pipeline.run()
        return Carried(pipeline.media_ms, pipeline.figures)
    except Exception as error:
        log_failure(log, "call failed", error)
        end.settle(FAILED)
        return Carried()
    finally:
        for timer in timers:
            timer.cancel()
        await _close(opened.session)


async def duties_of(board: Switchboard, call: Call) -> Duties:
    """Return the card's menu and rules and the number's human; a call that can't have them goes on without."""
    card, number = None, None
    try:
        async with asyncio.timeout(_DUTIES_WITHIN_S):
            if call.persona_version_id is not None:
                card = (await board.personas.version(call.persona_version_id)).card
            number = await board.personas.number_settings(call.to_number)
    except Exception as error:
        log_failure(log, "call goes on without its menu", error)

    def may_hand_off(handoff: Handoff) -> bool:
        if call.is_test or (handoff.mode == "queue" and number and number.queue_name):
            return True
        return bool(handoff.to or (number and number.human_number))

    return Duties(card, board.patience, board.speak, may_hand_off)


async def _close(session: DuplexSession) -> None:
    try:
        async with asyncio.timeout(_SESSION_CLOSES_S):
            await session.close()
    except Exception as error:
        log_failure(log, "session could not be closed", error)


async def _finish(
    board: Switchboard, socket: MediaSocket, recorder: CallRecorder, ending: Ending, carried: Carried
) -> None:
    """Write the row, then close the socket: the carrier's next question is answered from the row."""
    async with asyncio.TaskGroup() as group:
        written = group.create_task(recorder.finish(ending.outcome, ending.reason, carried.media_ms, ending.handoff))
        await asyncio.wait((written,), timeout=_ROW_BEFORE_CLOSE_S)
        await socket.close()
    board.live.publish(recorder.call_id, CallOver(ending.outcome, carried.media_ms, carried.figures))
    log.info("call over", outcome=ending.outcome, reason=ending.reason, duration_ms=carried.media_ms)


async def _hang_up(carrier: Carrier, call: Call) -> None:
    try:
        await carrier.hang_up(call.carrier_call_id)
    except CarrierUnavailable as error:
        log.warning("call could not be hung up through the carrier", reason=str(error))
