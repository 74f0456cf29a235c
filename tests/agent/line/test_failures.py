"""What callers meet when something fails or a human is wanted, over real sockets, as the carrier does it."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from agent.duplex import AgentFrame, EngineLost, HeardWord
from agent.line import aftermath, hand_off
from agent.pipeline.ending import Ending
from crm.call import Handoff
from personas.hours import DAYS
from telephony.carriers.twilio import TwilioCarrier
from telephony.simulator import CallResult, HangUp, Human, Pause, PhoneCompany, Press, Say, Step
from tests.agent.conftest import Open
from tests.agent.exchange import NUMBER, TOKEN, TONE, Exchange, ScriptedEngine, burst
from tests.agent.line.dialling import HUMAN, SETTINGS, dial, parts_of, set_number, until


@dataclass
class Frail(ScriptedEngine):
    """``silent_s``: how long after a loss the next session spoke."""

    lost_at_s: float = 0.0
    silent_s: float = 0.0


def frail(losses: int) -> Frail:
    """An engine whose first ``losses`` sessions are lost after 6 frames; it hears and says a word before."""
    engine = Frail()

    def play(index: int) -> AgentFrame | Exception:
        if index >= 6 and len(engine.sessions) <= losses:
            engine.lost_at_s = time.monotonic()
            return EngineLost("It is gone.")
        if index == 0 and engine.lost_at_s and not engine.silent_s:
            engine.silent_s = time.monotonic() - engine.lost_at_s
        if index == 1:
            return AgentFrame(index, TONE, text=" Bicycles.", heard=(HeardWord("bicycle", 20, 100),))
        return AgentFrame(index, TONE)

    engine.play = play
    return engine


@pytest.fixture
async def company() -> AsyncIterator[tuple[PhoneCompany, str]]:
    """A phone company and its API's origin."""
    company = PhoneCompany(TOKEN)
    async with company.serving() as url:
        yield company, url


async def hand_off_soon(where: Exchange, handoff: Handoff) -> None:
    """Give the next call that is connected to a human."""
    desk = where.state.desk
    await until(lambda: desk._live)
    await asyncio.sleep(0.4)
    next(iter(desk._live.values())).settle(Ending("transferred", handoff=handoff))


async def handed_off(where: Exchange, handoff: Handoff, *steps: Step, **phone: object) -> CallResult:
    """A call that is given to a human after a moment."""
    async with asyncio.TaskGroup() as group:
        call = group.create_task(dial(where, *steps, **phone))  # pyright: ignore[reportArgumentType]
        group.create_task(hand_off_soon(where, handoff))
    return call.result()


# A lost engine


async def test_a_lost_engine_is_replaced_once_and_told_what_was_said(open_exchange: Open) -> None:
    engine = frail(1)
    where = await open_exchange(engine)
    result = await dial(where)
    assert result.steps == ("Connect", "Say", "Connect")
    assert not result.errors
    first, second = await parts_of(where, result)
    assert (first.outcome, second.outcome) == ("engine_lost", "caller_hung_up")
    assert (first.part, second.part, second.continues) == (1, 2, first.id)
    assert "Bicycles" not in engine.roles[0].text
    assert "Bicycles" in engine.roles[1].text
    assert engine.roles[1].card.greeting != engine.roles[0].card.greeting
    assert engine.silent_s < 2  # nobody is in dead air over 2 s; a sentence of the line's is between
    assert engine.capacity().used == 0


async def test_an_engine_lost_twice_leads_to_the_human(open_exchange: Open) -> None:
    where = await open_exchange(frail(2))
    await where.state.personas.save_number(SETTINGS)
    result = await dial(where, Pause(60_000))
    assert result.steps == ("Connect", "Say", "Connect", "Say", "Dial", "Hangup")
    (human,) = result.humans
    assert (human.to, human.caller_id, human.status) == (HUMAN, "+15550199", "completed")
    parts = await parts_of(where, result)
    assert [part.outcome for part in parts] == ["engine_lost", "engine_lost"]
    assert (parts[1].handoff_result, parts[1].handoff) == ("over", Handoff("cold", HUMAN, "engine_lost"))


async def test_an_engine_lost_twice_without_a_human_is_an_apology(open_exchange: Open) -> None:
    result = await dial(await open_exchange(frail(2)), Pause(60_000))
    assert result.steps == ("Connect", "Say", "Connect", "Say", "Hangup")
    assert "technical problem" in result.sentences[-1]


# A human is wanted


@pytest.mark.parametrize("does", ["busy", "failed"])
async def test_who_reaches_no_human_comes_back_to_the_persona(open_exchange: Open, does) -> None:
    where = await open_exchange(ScriptedEngine())
    await where.state.personas.save_number(SETTINGS)
    result = await handed_off(where, Handoff("cold", why="dtmf"), human=Human(does, after_s=0.5))
    assert result.steps == ("Connect", "Dial", "Say", "Connect")
    assert "nobody is free" in result.sentences[0]
    assert not result.errors
    first, second = await parts_of(where, result)
    assert (first.outcome, first.handoff_result, second.outcome) == ("transferred", "failed", "caller_hung_up")
    assert [e.kind for e in await where.state.calls.events(first.id)][-2:] == ["handoff_dialling", "handoff_failed"]


async def test_who_talked_to_a_human_is_not_called_back(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    result = await handed_off(where, Handoff("cold", "+15550122", "rule"), Pause(60_000), human=Human(after_s=0.5))
    assert result.steps == ("Connect", "Dial", "Hangup")
    assert result.humans[0].to == "+15550122"
    assert (await parts_of(where, result))[0].handoff_result == "over"


async def test_key_0_leads_to_the_human_and_back(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    await where.state.personas.save_number(SETTINGS)
    steps = (Pause(400), Press("0"), Pause(7_500), HangUp())
    result = await dial(where, *steps, human=Human("busy", after_s=3))
    assert result.steps == ("Connect", "Dial", "Say", "Connect")
    assert [(leg.to, leg.status) for leg in result.humans] == [(HUMAN, "busy")]
    assert (await parts_of(where, result))[0].handoff == Handoff("cold", HUMAN, "dtmf")


async def test_a_caller_who_hangs_up_while_it_rings_cancels_the_human(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    result = await handed_off(where, Handoff("cold", HUMAN, "dtmf"), Pause(2_000), HangUp(), human=Human(after_s=20))
    assert result.ended_by == "caller"
    assert result.humans[0].status == "canceled"
    assert (await parts_of(where, result))[0].handoff_result == "over"


async def test_a_queue(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    await where.state.personas.save_number(replace(SETTINGS, queue_name="sales"))
    result = await handed_off(where, Handoff("queue", why="rule"), Pause(60_000), human=Human(after_s=0.5))
    assert result.steps == ("Connect", "Enqueue", "Hangup")
    result = await handed_off(where, Handoff("queue", why="rule"), human=Human("busy", after_s=0.5))
    assert result.steps == ("Connect", "Enqueue", "Say", "Connect")


async def test_a_warm_hand_off_briefs_the_human_first(open_exchange: Open, company) -> None:
    company, api_url = company
    where = await open_exchange(frail(0), twilio_account_sid="AC" + "0" * 32, twilio_api_url=api_url)
    await where.state.personas.save_number(SETTINGS)
    human = Human(after_s=1, talks_s=5)
    result = await handed_off(where, Handoff("warm", why="rule"), Pause(60_000), human=human, company=company)
    assert (result.steps[:3], result.steps[-2:]) == (("Connect", "Play", "Redirect"), ("Dial", "Hangup"))
    (leg,) = company.human_legs()
    assert (leg.to, leg.caller_id, leg.status) == (HUMAN, NUMBER, "completed")
    assert "bicycle" in leg.heard[0]
    assert "any key" in leg.heard[0]
    assert "coming" in leg.heard[1]
    assert not result.errors
    (call,) = await parts_of(where, result)
    assert call.handoff_result == "over"
    assert company.requests == ["create", "hang up"] or company.requests == ["create"]


async def warm(open_exchange: Open, api_url: str) -> Exchange:
    """A server whose number has a human, with the carrier's API."""
    where = await open_exchange(ScriptedEngine(), twilio_account_sid="AC" + "0" * 32, twilio_api_url=api_url)
    await where.state.personas.save_number(SETTINGS)
    return where


@pytest.mark.parametrize("does", ["no-answer", "declines"])
async def test_a_human_who_does_not_take_the_call_gives_it_back(open_exchange: Open, company, does) -> None:
    """Without a request of ours: the carrier's API may be down by then."""
    company, api_url = company
    where = await warm(open_exchange, api_url)
    human = Human(does, after_s=1)
    steps = (Pause(6_000), HangUp())
    result = await handed_off(where, Handoff("warm", why="dtmf"), *steps, human=human, company=company, speed=10)
    assert result.steps == ("Connect", "Play", "Redirect", "Say", "Connect")
    assert company.requests == ["create"]
    first, second = await parts_of(where, result)
    assert (first.handoff_result, second.outcome) == ("failed", "caller_hung_up")


async def test_a_human_of_whom_nothing_is_heard_is_given_up(
    open_exchange: Open, company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_off, "TAKEN_WITHIN_S", 0.1)
    company, api_url = company
    where = await warm(open_exchange, api_url)
    human = Human(after_s=300)
    steps = (Pause(6_000), HangUp())
    result = await handed_off(where, Handoff("warm", why="dtmf"), *steps, human=human, company=company, speed=10)
    assert result.steps[-3:] == ("Redirect", "Say", "Connect")
    await until(lambda: [leg.status for leg in company.human_legs()] == ["canceled"])
    assert company.requests == ["create", "hang up"]


@pytest.mark.parametrize("is_unnoticed", [False, True])
async def test_a_caller_who_hangs_up_while_waiting_for_a_human_ends_the_human_s_call(
    open_exchange: Open, company, is_unnoticed: bool
) -> None:
    """The carrier says so where the number is set to that; else they ask no more."""
    company, api_url = company
    where = await warm(open_exchange, api_url)
    where.state.desk._hand_offs._waiting._gone_s = 0.4
    human = Human(after_s=25)
    status = {"status_url": ""} if is_unnoticed else {}
    steps = (Pause(2_500), HangUp())
    result = await handed_off(where, Handoff("warm", why="dtmf"), *steps, human=human, company=company, **status)
    assert result.ended_by == "caller"
    await until(lambda: company.human_legs()[0].status != "ringing")
    assert company.human_legs()[0].status == "canceled"
    assert company.requests == ["create", "hang up"]


async def test_an_api_that_is_too_slow_keeps_nobody_waiting(
    open_exchange: Open, company, monkeypatch: pytest.MonkeyPatch
) -> None:
    company, api_url = company
    where = await open_exchange(ScriptedEngine(), twilio_account_sid="AC" + "0" * 32, twilio_api_url=api_url)
    await where.state.personas.save_number(SETTINGS)
    call_human = TwilioCarrier.call_human

    async def slowly(carrier: TwilioCarrier, *given: Any, **named: Any) -> str:
        await asyncio.sleep(0.6)
        return await call_human(carrier, *given, **named)

    monkeypatch.setattr(TwilioCarrier, "call_human", slowly)
    monkeypatch.setattr(aftermath, "STEP_S", 0.3)
    human = Human(after_s=60)
    result = await handed_off(where, Handoff("warm", why="dtmf"), Pause(1_000), HangUp(), human=human, company=company)
    assert result.steps == ("Connect", "Say", "Connect")
    await until(lambda: [leg.status for leg in company.human_legs()] == ["canceled"])


async def test_without_credentials_a_warm_hand_off_is_a_cold_one(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    await where.state.personas.save_number(SETTINGS)
    result = await handed_off(where, Handoff("warm", why="rule"), Pause(60_000), human=Human(after_s=0.5))
    assert result.steps == ("Connect", "Dial", "Hangup")
    assert result.humans[0].to == HUMAN
    assert (await parts_of(where, result))[0].handoff == Handoff("cold", HUMAN, "rule")


# Out of hours


def another_day() -> str:
    """Opening hours that are neither now nor soon."""
    return f"{DAYS[(datetime.now(UTC).weekday() + 3) % 7]} 08:00-09:00"


async def test_a_closed_number_takes_a_message(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    await set_number(where, hours=another_day(), timezone="UTC", out_of_hours="voicemail")
    said = burst(1)
    result = await dial(where, Say("a message", said), Pause(20_000), speed=50)
    assert result.steps == ("Say", "Record", "Say", "Hangup")
    assert "leave a message" in result.sentences[0]
    assert not result.errors
    assert np.array_equal(result.message[: said.size], said)
    (call,) = await parts_of(where, result)
    assert (call.status, call.outcome) == ("refused", "voicemail")
    assert call.voicemail.startswith("https://")


async def test_a_message_of_a_caller_who_just_hangs_up_is_kept(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    await set_number(where, hours=another_day(), timezone="UTC", out_of_hours="voicemail")
    result = await dial(where, Say("a message", burst(1)), HangUp(), speed=50)
    assert result.ended_by == "caller"
    assert (await parts_of(where, result))[0].voicemail


async def test_a_closed_number_says_so(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    await set_number(where, hours=another_day(), timezone="UTC", out_of_hours="message")
    result = await dial(where)
    assert result.steps == ("Say", "Hangup")
    assert "closed" in result.sentences[0]
    assert (await parts_of(where, result))[0].outcome == "out_of_hours"


async def test_a_closed_number_is_answered_by_its_other_persona(open_exchange: Open) -> None:
    engine = ScriptedEngine()
    where = await open_exchange(engine)
    await set_number(where, hours=another_day(), timezone="UTC", out_of_hours="bell-help")
    await dial(where, HangUp())
    await set_number(where, hours="Mon-Sun 00:00-24:00", timezone="UTC", out_of_hours="bell-help")
    await dial(where, HangUp())
    assert [role.card.company for role in engine.roles] == ["Bell", "Acme"]
