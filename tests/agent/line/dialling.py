"""Dial a server over real sockets, and follow the call to the end of its last part."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from crm.call import Call
from personas.numbers import NumberSettings
from telephony.simulator import CallResult, HangUp, Human, Pause, Phone, PhoneCompany, ScriptedCaller, Step
from tests.agent.exchange import NUMBER, TOKEN, Exchange

HUMAN = "+15550111"
LISTENS = (Pause(1_500), HangUp())
SETTINGS = NumberSettings(NUMBER, "acme-help", human_number=HUMAN)


async def set_number(where: Exchange, **changes: object) -> None:
    await where.state.personas.save_number(replace(SETTINGS, **changes))  # pyright: ignore[reportArgumentType]


async def dial(
    where: Exchange,
    *steps: Step,
    human: Human | None = None,
    company: PhoneCompany | None = None,
    speed: float = 20,
    status_url: str | None = None,
) -> CallResult:
    """Call the server; what lies between streams passes ``speed`` times faster."""
    status_url = where.url + "/twilio/action?after=status" if status_url is None else status_url
    phone = Phone(where.url, TOKEN, human=human, company=company, hold_speed=speed, status_url=status_url)
    async with asyncio.timeout(30):
        return await phone.call(ScriptedCaller(steps or LISTENS, patience_ms=0), to_number=NUMBER)


async def parts_of(where: Exchange, result: CallResult) -> list[Call]:
    """The parts of a call, once all have ended."""
    async with asyncio.timeout(10):
        while True:
            parts = await where.state.calls.parts("twilio", result.call_id)
            if parts and all(part.ended_at for part in parts):
                return parts
            await asyncio.sleep(0.02)


async def until(check: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while True:
            if check():
                return
            await asyncio.sleep(0.02)
