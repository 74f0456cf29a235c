"""From a call to an instruction that streams it: persona, slot, row, nonce.

new call ───────▶ role ─▶ session, held ─▶ row ─▶ ConnectStream(nonce)
a lost stream ──▶ role with the conversation so far ──┘
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from opentelemetry.trace import SpanKind

from agent.call import NONCE, Switchboard, duties_of
from agent.duplex import DuplexError, DuplexSession, EngineFull, RolePrompt
from agent.line.callers import Callers
from agent.line.reservations import Reservations
from agent.live import Noted
from agent.role import role_for
from agent.tracing.spans import span
from crm.call import Call, NewCall, Outcome, Turn
from crm.customers import Customers
from personas.errors import NotPublished, PersonaError, UnknownNumber, UnknownPersona
from personas.versions import PersonaVersion
from telephony.carrier import ConnectStream, InboundCall

log = structlog.get_logger(__name__)

ENGINE_OPENS_S = 5.0
_NO_PERSONA = "The call has no persona version that it could go on with."


class Refused(Exception):
    """Nobody can take the call; the message is for the operator."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome
        self.reason = reason


class Opening:
    """One process's answers. What it holds for a call is taken by the call's media socket, or expires."""

    def __init__(self, board: Switchboard, reservations: Reservations, on_failed: Callable[[str], None]) -> None:
        """``on_failed(call_id)`` hears of a call whose row may have been written, though nobody will carry it."""
        self._board = board
        self._reservations = reservations
        self._on_failed = on_failed
        self._callers = Callers(Customers(board.calls.database), board.lookup)
        self._answers: dict[str, ConnectStream] = {}

    def known(self, call_id: str) -> ConnectStream | None:
        """Return the answer that a call, by the carrier's id, was given and that its socket has yet to follow."""
        return self._answers.get(call_id)

    def forget(self, call_id: str) -> None:
        """Give a call's answer no more; harmless for one that has none."""
        self._answers.pop(call_id, None)

    async def take_back(self, call_id: str) -> None:
        """Free what is held for a call whose caller was told something else meanwhile."""
        await self._reservations.release(call_id)
        self._on_failed(call_id)

    async def role(self, call: InboundCall, slug: str = "") -> tuple[NewCall, RolePrompt]:
        """Return who answers a ringing call: the number's persona, or the one with this slug.

        Raises:
            Refused: nobody does.
        """
        personas = self._board.personas
        try:
            version = await (personas.published(slug) if slug else personas.published_for_number(call.to_number))
        except UnknownNumber as error:
            raise Refused("unknown_number", str(error)) from None
        except (NotPublished, UnknownPersona, PersonaError) as error:  # or a card this version can't read
            raise Refused("not_published", str(error)) from None
        customer, events = await self._callers.who_calls(call.from_number)
        return self.of_version(replace(new_call(call), customer=customer, events=events), version)

    def of_version(self, new: NewCall, version: PersonaVersion) -> tuple[NewCall, RolePrompt]:
        """Return a ringing call as it is logged where a persona version answers it, and its role."""
        role = role_for(version.card, new.customer)
        new = replace(
            new,
            persona_slug=version.persona_slug,
            persona_version_id=version.id,
            persona_title=version.card.title,
            engine=self._board.engine.name,
            role_prompt=role.text,
        )
        return new, role

    async def connect(self, new: NewCall, role: RolePrompt, *, say: str = "") -> ConnectStream:
        """Reserve a slot, start its prompt, and log the call.

        Raises:
            Refused: the engine has no slot.
        """
        session = await self._session(role)
        try:
            opened = await self._board.calls.open_call(new)
        except BaseException:
            await session.close()
            self._on_failed(new.carrier_call_id)
            raise
        if not opened.nonce:  # its stream has come meanwhile, through another process
            await session.close()
            raise Refused("gateway_lost", "The call is carried elsewhere.")
        for event in new.events if opened.is_new else ():
            self._board.live.publish(opened.call.id, Noted(event.kind, event.at_ms, event.detail))
        await self._reservations.release(new.carrier_call_id)
        self._reservations.hold(new.carrier_call_id, session, duties_of(self._board, opened.call))
        instruction = ConnectStream({NONCE: opened.nonce}, part=new.part, say=say)
        self._answers[new.carrier_call_id] = instruction
        log.info("call answered", call_id=opened.call.id, persona=new.persona_slug, part=new.part)
        return instruction

    async def go_on(self, parts: Sequence[Call], say: str) -> ConnectStream:
        """Connect a call, whose last part is over, to its persona again, with what was said so far.

        Raises:
            Refused: its persona is gone, or the engine has no slot.
        """
        new, role = await self._next_part(parts)
        return await self.connect(new, role, say=say)

    async def next_part(self, parts: Sequence[Call]) -> NewCall:
        """Return what is logged of a call, whose last part is over, that is to go on; raises like ``go_on``."""
        return (await self._next_part(parts))[0]

    async def admit(self, call: Call) -> ConnectStream:
        """Connect a call that waited; raises like ``go_on``."""
        role = await self._role_again(call, await self._board.calls.history(call))
        return await self.connect(self.as_new(call), role)

    def as_new(self, call: Call) -> NewCall:
        """Return what is logged of a call when it rings, from its row."""
        return NewCall(
            carrier=call.carrier,
            carrier_call_id=call.carrier_call_id,
            account_id=call.account_id,
            from_number=call.from_number,
            to_number=call.to_number,
            persona_slug=call.persona_slug,
            persona_version_id=call.persona_version_id,
            persona_title=call.persona_title,
            engine=self._board.engine.name,
            role_prompt=call.role_prompt,
            part=call.part,
            continues=call.continues,
            is_test=call.is_test,
            customer=call.customer,
        )

    async def _next_part(self, parts: Sequence[Call]) -> tuple[NewCall, RolePrompt]:
        calls, last = self._board.calls, parts[-1]
        role = await self._role_again(last, [*await calls.history(last), *await calls.turns(last.id)])
        return replace(self.as_new(last), role_prompt=role.text, part=last.part + 1, continues=last.id), role

    async def _role_again(self, call: Call, history: Sequence[Turn] = ()) -> RolePrompt:
        try:
            if call.persona_version_id is None:
                raise PersonaError(_NO_PERSONA)
            version = await self._board.personas.version(call.persona_version_id)
        except PersonaError as error:
            raise Refused("not_published", str(error)) from None
        return role_for(version.card, call.customer, history)

    async def _session(self, role: RolePrompt) -> DuplexSession:
        try:
            async with asyncio.timeout(ENGINE_OPENS_S):
                with span("open session", SpanKind.CLIENT, engine=self._board.engine.name):
                    return await self._board.engine.open(role)
        except EngineFull as error:
            raise Refused("engine_full", str(error)) from None
        except DuplexError as error:
            raise Refused("engine_unavailable", str(error)) from None
        except TimeoutError:
            raise Refused("engine_unavailable", f"The engine gave no slot in {ENGINE_OPENS_S:g} seconds.") from None


def new_call(call: InboundCall) -> NewCall:
    """Return a ringing call for the log, before it is known who answers."""
    return NewCall(
        carrier=call.carrier,
        carrier_call_id=call.call_id,
        account_id=call.account_id,
        from_number=call.from_number,
        to_number=call.to_number,
    )
