"""What happens inside a live call: keys, hand-offs, warnings and watches, over real sockets and in our own voice."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from agent.duplex import AgentFrame, EngineLost
from agent.own_voice import OwnVoice
from agent.pipeline import attendant, transport
from crm.call import Call, Handoff
from personas.numbers import NumberSettings
from personas.persona import PersonaCard
from personas.store import PersonaStore
from tests.agent.conftest import Open
from tests.agent.exchange import NUMBER, SILENCE, TONE, Exchange, RawStream, ScriptedEngine, card
from tests.agent.line.phone import Line

HUMAN = "+15550177"
FRAUD = "I'm connecting you with our fraud team."


@pytest.fixture(scope="module", autouse=True)
def voice() -> None:
    """Load the voice once: frames come 16 times as fast as in a call, and would not wait for it."""
    OwnVoice("auto").load()


def rich_card() -> PersonaCard:
    """A card with a menu and a rule that hands callers over."""
    fields = card().model_dump(mode="json") | {
        "menu": [
            {"digit": "5", "action": "say", "say": "We are open."},
            {"digit": "9", "action": "hang_up"},
            {"digit": "7", "action": "human", "to": HUMAN, "mode": "warm"},
        ],
        "rules": [
            {
                "id": "fraud",
                "kind": "escalate",
                "text": "Hand over who reports fraud.",
                "say": FRAUD,
                "transfer_phrases": ["connecting you with our fraud team"],
                "transfer_to": HUMAN,
                "transfer_mode": "queue",
            }
        ],
    }
    return PersonaCard.model_validate(fields)


async def publish(where: Exchange, new: PersonaCard) -> None:
    personas: PersonaStore = where.state.personas
    await personas.import_cards([new], replace_edits=True)


async def set_human(where: Exchange, number: str = HUMAN) -> None:
    await where.state.personas.save_number(NumberSettings(NUMBER, "acme-help", human_number=number))


async def events(where: Exchange, stream: RawStream) -> list[tuple[str, str]]:
    row = await where.row(stream.call_id)
    return [(event.kind, event.detail) for event in await where.state.calls.events(row.id)]


async def agents_words(where: Exchange, row: Call) -> str:
    return " ".join(turn.text.strip() for turn in await where.state.calls.turns(row.id) if turn.side == "agent")


def saying(*texts: str, then: int = 0) -> Callable[[int], AgentFrame]:
    """An engine's play: one piece of text a loud frame, ``then`` so many loud frames without, then silence."""

    def play(index: int) -> AgentFrame:
        if index < len(texts):
            return AgentFrame(index, TONE, text=texts[index])
        return AgentFrame(index, TONE if index < len(texts) + then else SILENCE)

    return play


async def test_0_hands_the_caller_to_the_numbers_human_once_they_were_told(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    await set_human(where)
    async with where.call() as stream:
        line = Line(stream)
        await line.live(0.4)
        await stream.send("dtmf", dtmf={"digit": "0"})
        assert await line.live()
    row = await where.row(stream.call_id)
    assert (row.outcome, row.handoff) == ("transferred", Handoff("cold", "", "dtmf"))
    assert await agents_words(where, row) == attendant.ONE_MOMENT
    assert sum(line.loud) >= 10
    happened = await events(where, stream)
    assert {kind for kind, _ in happened} == {"digit", "handoff", "announcement"}
    assert "0" not in [detail for _, detail in happened]


async def test_0_without_anybody_to_call_is_said_and_the_call_goes_on(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    async with where.call() as stream:
        line = Line(stream)
        await line.live(0.2)
        await stream.send("dtmf", dtmf={"digit": "0"})
        assert not await line.live(60, until=lambda: sum(line.loud) > 20)
        await stream.send("stop", stop={})
        await stream.closed()
    assert (await where.row(stream.call_id)).outcome == "caller_hung_up"
    assert ("handoff_impossible", "dtmf") in await events(where, stream)


@pytest.mark.parametrize(
    ("digit", "outcome", "handoff", "said"),
    [
        ("7", "transferred", Handoff("warm", HUMAN, "dtmf"), attendant.ONE_MOMENT),
        ("9", "agent_hung_up", None, "Goodbye."),
    ],
)
async def test_a_cards_keys(open_exchange: Open, digit: str, outcome: str, handoff: Handoff | None, said: str) -> None:
    where = await open_exchange(ScriptedEngine())
    await publish(where, rich_card())
    async with where.call() as stream:
        line = Line(stream)
        await stream.send("dtmf", dtmf={"digit": "3"})  # does nothing
        for _ in range(5):  # hammered on, heard once
            await stream.send("dtmf", dtmf={"digit": "5"})
        assert not await line.live(60, until=lambda: sum(line.loud) > 3 and not any(line.loud[-5:]))
        await stream.send("dtmf", dtmf={"digit": digit})
        await stream.send("dtmf", dtmf={"digit": digit})
        assert await line.live()
    row = await where.row(stream.call_id)
    assert (row.outcome, row.handoff) == (outcome, handoff)
    assert ("the key that ends the call" in row.reason) == (outcome == "agent_hung_up")
    assert await agents_words(where, row) == f"We are open. {said}"


async def test_the_agents_own_words_hand_the_caller_over_once_they_were_heard(open_exchange: Open) -> None:
    pieces = [" I'm", " connec", "ting", " you with our", " fraud", " team", "."]
    engine = ScriptedEngine(saying(*pieces, then=5))
    where = await open_exchange(engine)
    await publish(where, rich_card())
    async with where.call() as stream:
        line = Line(stream)
        assert await line.live()
    row = await where.row(stream.call_id)
    assert (row.outcome, row.handoff) == ("transferred", Handoff("queue", HUMAN, "rule", "fraud"))
    assert line.loud.count(True) - len(pieces) - 5 in (0, 1)  # the whole sentence, the filter's tail, and no more
    assert await agents_words(where, row) == FRAUD
    assert ("handoff", "fraud") in await events(where, stream)


async def test_a_hand_off_that_is_never_acknowledged_happens_too(
    open_exchange: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "GOODBYE_HEARD_S", 0.3)
    where = await open_exchange(ScriptedEngine(saying(" I am connecting you with our fraud team.")))
    await publish(where, rich_card())
    async with where.call() as stream:
        await stream.frames(6)
        await stream.closed()
    assert (await where.row(stream.call_id)).outcome == "transferred"


async def test_an_engine_lost_in_its_last_sentence_does_not_undo_the_hand_off(open_exchange: Open) -> None:
    def play(index: int) -> AgentFrame | Exception:
        return AgentFrame(index, TONE, text=FRAUD) if index == 0 else EngineLost("It is gone.")

    where = await open_exchange(ScriptedEngine(play))
    await publish(where, rich_card())
    async with where.call() as stream:
        await stream.frames(3)
        await stream.closed()
    assert (await where.row(stream.call_id)).outcome == "transferred"


async def test_a_caller_who_says_nothing_is_asked_and_then_told_goodbye(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(), caller_silence_s=2)
    async with where.call() as stream:
        line = Line(stream)
        assert await line.live(300)
    row = await where.row(stream.call_id)
    assert row.outcome == "caller_silent"
    assert await agents_words(where, row) == f"{attendant.STILL_THERE} {attendant.NOBODY_SPEAKS}"
    announced = [detail for kind, detail in await events(where, stream) if kind == "announcement"]
    assert announced == ["still_there", "caller_silent"]
    assert not any(line.loud[:24])


async def test_a_caller_who_answers_the_question_is_kept(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(), caller_silence_s=2, agent_mute_s=0)
    async with where.call() as stream:
        line = Line(stream)
        for _ in range(3):
            assert not await line.live(60, until=lambda: any(line.loud))
            line.loud.clear()
            assert not await line.live(1.5, pcm=3_000)
        await stream.send("stop", stop={})
        await stream.closed()
    assert (await where.row(stream.call_id)).outcome == "caller_hung_up"


async def test_an_agent_who_says_nothing_to_a_waiting_caller_is_replaced(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(), agent_mute_s=2)
    async with where.call() as stream:
        line = Line(stream)
        assert not await line.live(1, pcm=3_000)
        assert await line.live()
    assert (await where.row(stream.call_id)).outcome == "agent_mute"


async def test_an_agents_idle_noise_is_silence_and_no_answer(open_exchange: Open) -> None:
    noise = (np.random.default_rng(1).standard_normal(1_920) * 45 / 32_768).astype(np.float32)
    where = await open_exchange(ScriptedEngine(lambda index: AgentFrame(index, noise)), agent_mute_s=2)
    async with where.call() as stream:
        await stream.frames(1)
        assert not (await stream.heard()).any()
        line = Line(stream)
        assert not await line.live(1, pcm=3_000)
        assert await line.live()
    assert (await where.row(stream.call_id)).outcome == "agent_mute"


async def test_the_caller_is_told_that_the_time_is_nearly_up(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(), max_call_s=2.5, time_warning_s=1)
    async with where.call() as stream:
        line = Line(stream)
        await line.live(60)
    row = await where.row(stream.call_id)
    assert row.outcome == "time_limit"
    assert "time_warning" in [detail for _, detail in await events(where, stream)]


async def test_without_a_voice_a_hand_off_is_silent(open_exchange: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(voice: OwnVoice) -> None:
        raise ImportError("no such package")

    monkeypatch.setattr(OwnVoice, "load", load)
    where = await open_exchange(ScriptedEngine())
    await set_human(where)
    async with where.call() as stream:
        await stream.frames(2)
        await stream.send("dtmf", dtmf={"digit": "0"})
        await stream.closed()
    assert (await where.row(stream.call_id)).outcome == "transferred"
    assert ("announcement_left_out", "handoff") in await events(where, stream)


async def test_a_line_that_plays_nothing_and_one_that_brings_nothing_are_alarms(
    open_exchange: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ECHO_S", 0.2)
    where = await open_exchange(ScriptedEngine(), caller_silence_s=0)
    async with where.call() as stream:
        for _ in range(19):
            await stream.frames(10)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        await stream.send("stop", stop={})
        await stream.closed()
    details = [detail for kind, detail in await events(where, stream) if kind == "one_way_audio"]
    assert len(details) == 2
    assert "No sound came from the caller" in " ".join(details)
    assert "played anything" in " ".join(details)


async def test_after_a_stall_silence_is_left_out_and_speech_is_not(open_exchange: Open) -> None:
    """Eight frames come at once; what follows them is heard late until pauses have made up for it."""
    loud = {*range(8), 16}
    where = await open_exchange(ScriptedEngine(lambda index: AgentFrame(index, TONE if index in loud else SILENCE)))
    async with where.call() as stream:
        await stream.frames(8)
        sent = [bool(np.abs(await stream.heard()).max() > 300) for _ in range(8)]
        for _ in range(9):
            await stream.frames(1)
            await asyncio.sleep(0.005)
        sent.append(bool(np.abs(await stream.heard()).max() > 300))
        assert all(sent)
        await stream.send("stop", stop={})
        await stream.closed()
    row = await where.row(stream.call_id)
    assert row.timing["silence_shed_ms"] >= 4 * 80
    assert row.timing["playout_backlog_p95_ms"] >= 200


async def test_an_operator_hangs_up_and_hands_over(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine())
    async with where.call() as stream:
        await stream.frames(1)
        await stream.receive("mark")
        row = await where.state.calls.call_by_carrier_id("twilio", stream.call_id)
        where.state.live.control(row.id).hang_up("ann")
        await stream.closed()
    row = await where.row(stream.call_id)
    assert (row.outcome, row.reason) == ("agent_hung_up", "ann ended the call from its page.")
    assert where.state.live.control(row.id) is None
    assert ("operator_hung_up", "ann") in await events(where, stream)
    async with where.call() as stream:
        line = Line(stream)
        row = await where.state.calls.call_by_carrier_id("twilio", stream.call_id)
        assert not await line.live(20, until=lambda: where.state.live.control(row.id) is not None)
        assert where.state.live.control(row.id).hand_off(Handoff("warm", HUMAN, "operator"), "ann")
        assert await line.live()
    assert (await where.row(stream.call_id)).handoff == Handoff("warm", HUMAN, "operator")
