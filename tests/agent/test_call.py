"""Every way a call can end leaves the right row, a free slot and a caller who is told."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from agent import call
from agent.duplex import AgentFrame, EngineLost, HeardWord
from agent.line import aftermath, decisions
from agent.live import CallOver, CallStarted, Spoke
from agent.pipeline import duplex, transport
from telephony.carriers.twilio import TwilioCarrier
from telephony.errors import CarrierUnavailable
from telephony.simulator import twiml
from tests.agent.conftest import Open
from tests.agent.exchange import SILENCE, TONE, Exchange, RawStream, ScriptedEngine, nonce_of


async def ended(where: Exchange, stream: RawStream, engine: ScriptedEngine | None = None) -> tuple[str, str, str]:
    """Return (status, outcome, reason) of the call's row; its slot must be free."""
    row = await where.row(stream.call_id)
    assert where.state.engine.capacity().used == 0
    if engine:
        assert all(session.closed for session in engine.sessions)
    return row.status, row.outcome, row.reason


async def test_the_caller_hangs_up(open_exchange: Open) -> None:
    where = await open_exchange()
    async with where.call() as stream:
        await stream.frames(5)
        await stream.send("stop", stop={})
        assert (await stream.closed())[0] == 1000
    assert await ended(where, stream) == ("ended", "caller_hung_up", "")
    assert await where.after(stream.call_id, "completed") == (twiml.Hangup(),)
    row = await where.row(stream.call_id)
    assert row.duration_ms is not None
    assert row.duration_ms >= 400


async def test_the_phone_drops_the_socket(open_exchange: Open) -> None:
    where = await open_exchange()
    async with where.call() as stream:
        await stream.frames(3)
        stream.socket.transport.abort()
    status, outcome, reason = await ended(where, stream)
    assert (status, outcome) == ("ended", "stream_failed")
    assert "stop message" in reason
    assert isinstance((await where.after(stream.call_id))[0], twiml.Say)


async def _mark_on(stream: RawStream) -> None:
    """Send what is no audio for as long as the server listens."""
    while True:
        await stream.send("mark", mark={"name": "1"})
        await asyncio.sleep(0.05)


async def test_no_audio_comes(open_exchange: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "NO_MEDIA_S", 0.3)
    where = await open_exchange()
    async with where.call() as stream:
        with pytest.raises(ConnectionClosed):
            await _mark_on(stream)
    assert (await ended(where, stream))[1] == "stream_failed"


async def test_the_agent_says_goodbye_and_is_heard_before_the_line_is_cut(
    open_exchange: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung_up = []

    async def hang_up(carrier: TwilioCarrier, call_id: str) -> bool:
        hung_up.append(call_id)
        raise CarrierUnavailable("Twilio could not be reached.")

    monkeypatch.setattr(TwilioCarrier, "hang_up", hang_up)
    engine = ScriptedEngine(lambda index: AgentFrame(index, TONE if index <= 3 else SILENCE, ends_call=index == 3))
    where = await open_exchange(engine)
    async with where.call() as stream:
        await stream.frames(6)
        names = [(await stream.receive("mark"))["mark"]["name"] for _ in range(4)]
        assert names == ["0", "1", "2", "3"]
        await stream.send("mark", mark={"name": "2"})
        with pytest.raises(TimeoutError):
            await stream.closed(0.3)
        assert hung_up == []
        await stream.send("mark", mark={"name": "3"})
        assert (await stream.closed())[0] == 1000
    assert await ended(where, stream, engine) == ("ended", "agent_hung_up", "")
    assert hung_up == [stream.call_id]
    assert await where.after(stream.call_id) == (twiml.Hangup(),)


async def test_a_goodbye_that_is_never_acknowledged_ends_the_call_too(
    open_exchange: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "GOODBYE_HEARD_S", 0.2)
    where = await open_exchange(ScriptedEngine(lambda index: AgentFrame(index, SILENCE, ends_call=True)))
    async with where.call() as stream:
        await stream.frames(1)
        await stream.closed()
    assert (await ended(where, stream))[1] == "agent_hung_up"


async def test_the_engine_is_lost(open_exchange: Open) -> None:
    engine = ScriptedEngine(lambda index: AgentFrame(index, TONE) if index < 2 else EngineLost("It is gone."))
    where = await open_exchange(engine)
    async with where.call() as stream:
        await stream.frames(3)
        await stream.closed()
    assert await ended(where, stream, engine) == ("ended", "engine_lost", "It is gone.")
    said, connect, _ = await where.after(stream.call_id)
    assert isinstance(said, twiml.Say)
    assert isinstance(connect, twiml.Connect)


async def test_an_error_of_the_engine_tells_its_kind_and_nothing_else(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(lambda index: ValueError("my card number is 4111")))
    async with where.call() as stream:
        await stream.frames(1)
        await stream.closed()
    assert await ended(where, stream) == ("ended", "engine_lost", "The engine failed (ValueError).")


async def test_an_engine_that_never_takes_in_the_prompt(open_exchange: Open) -> None:
    where = await open_exchange(ScriptedEngine(ready_after=asyncio.Event()), engine_ready_timeout_s=0.2)
    async with where.call() as stream:
        await stream.frames(1)
        await stream.closed()
    status, outcome, reason = await ended(where, stream)
    assert (status, outcome) == ("ended", "engine_lost")
    assert "role prompt" in reason


async def test_an_engine_that_is_ready_late_is_not_late_ever_after(open_exchange: Open) -> None:
    """What was said before is recorded but not pushed; heard words are timed by the stream all the same."""
    ready = asyncio.Event()
    engine = ScriptedEngine(lambda index: AgentFrame(index, TONE, heard=(HeardWord("hi", 80, 160),)), ready_after=ready)
    where = await open_exchange(engine)
    async with where.call() as stream:
        await stream.frames(10)
        await asyncio.sleep(0.1)
        ready.set()
        await asyncio.sleep(0.1)
        assert engine.sessions[0].heard == []
        await stream.frames(1)
        assert (await stream.receive("mark"))["mark"]["name"] == "0"
        assert len(engine.sessions[0].heard) == 1
        await stream.send("stop", stop={})
        await stream.closed()
    row = await where.row(stream.call_id)
    (word,) = [turn.words[0] for turn in await where.state.calls.turns(row.id) if turn.side == "caller"]
    assert word.start_ms == 10 * 80 + 80


async def test_an_engine_that_falls_silent(open_exchange: Open) -> None:
    """It counts as lost when frames go by unanswered, not when they come late and all at once."""
    engine = ScriptedEngine()
    where = await open_exchange(engine)
    async with where.call() as stream:
        await stream.frames(2)
        await stream.receive("mark")
        (session,) = engine.sessions
        session.push = lambda frame: session.heard.append(frame)  # takes everything, answers nothing
        await stream.frames(30)
        with pytest.raises(TimeoutError):
            await stream.closed(0.3)
        for _ in range(40):
            await stream.frames(1)
            await asyncio.sleep(0.08)
            if stream.socket.close_code is not None:
                break
        await stream.closed()
    assert "answered no frame for 1." in (await ended(where, stream))[2]


async def test_an_engine_that_drops_frames_is_not_lost_for_it(
    open_exchange: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplex, "MOST_UNANSWERED_FRAMES", 10)
    engine = ScriptedEngine()
    where = await open_exchange(engine)
    async with where.call() as stream:
        await stream.frames(1)
        await stream.receive("mark")
        (session,) = engine.sessions
        push = session.push
        session.push = lambda frame: push(frame) if len(session.heard) % 2 else session.heard.append(frame)
        for _ in range(15):
            await stream.frames(4)
            await asyncio.sleep(0.01)
        await stream.send("stop", stop={})
        await stream.closed()
    assert (await ended(where, stream, engine))[1] == "caller_hung_up"


async def test_the_time_limit(open_exchange: Open) -> None:
    where = await open_exchange(max_call_s=0.3)
    async with where.call() as stream:
        await stream.frames(2)
        await stream.closed()
    assert (await ended(where, stream))[1] == "time_limit"
    assert await where.after(stream.call_id) == (twiml.Hangup(),)


async def test_odd_messages_do_not_end_a_call(open_exchange: Open) -> None:
    where = await open_exchange()
    async with where.call() as stream:
        await stream.frames(2)
        for odd in ("[]", "null", "{", '{"event": "media", "media": null}', b"\x00\x01", "x" * 1_000_000):
            await stream.socket.send(odd)
        await stream.say(np.full(640, 9_000, np.int16))
        while np.abs(await stream.heard()).max() < 6_000:
            pass
        await stream.send("stop", stop={})
        await stream.closed()
    assert (await ended(where, stream))[1] == "caller_hung_up"


async def test_both_sides_words_and_keys_are_logged_and_shown_as_they_are_spoken(open_exchange: Open) -> None:
    def play(index: int) -> AgentFrame:
        if index == 1:
            return AgentFrame(index, TONE, text=" Hello")
        if index == 2:
            return AgentFrame(index, TONE, text=" there", heard=(HeardWord("hi", 20, 100),), timings={"decode_ms": 7.0})
        return AgentFrame(index, SILENCE)

    where = await open_exchange(ScriptedEngine(play))
    events = []

    async def watch() -> None:
        async for event in where.state.live.subscribe():
            events.append(event)
            if isinstance(event[1], CallOver):
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        async with where.call() as stream:
            await stream.frames(4)
            await stream.send("dtmf", dtmf={"digit": "5"})
            for _ in range(3):
                name = (await stream.receive("mark"))["mark"]["name"]
                await stream.send("mark", mark={"name": name})
            await stream.frames(10)  # what nobody has heard when the call ends is no part of it
            await stream.send("stop", stop={})
            await stream.closed()
    row = await where.row(stream.call_id)
    assert {call_id for call_id, _ in events} == {row.id}
    kinds = [type(event) for _, event in events]
    assert (kinds[0], kinds[-1]) == (CallStarted, CallOver)
    spoken = [(event.side, event.text) for _, event in events if isinstance(event, Spoke)]
    assert sorted(spoken) == [("agent", " Hello"), ("agent", " there"), ("caller", "hi")]
    turns = await where.state.calls.turns(row.id)
    assert {turn.side: turn.text.strip() for turn in turns} == {"agent": "Hello there", "caller": "hi"}
    assert [event.kind for event in await where.state.calls.events(row.id)].count("digit") == 1
    assert "5" not in [event.detail for event in await where.state.calls.events(row.id)]
    assert row.timing["decode_ms"] == 7.0


async def test_a_slot_reserved_elsewhere_is_opened_here(open_exchange: Open) -> None:
    """Another process answered the webhook: this one finds no reserved session for the socket."""
    engine = ScriptedEngine()
    where = await open_exchange(engine)
    nonce = nonce_of(await where.ring("CA1"))
    await where.state.desk._reservations.release("CA1")
    async with where.stream("CA1", nonce) as stream:
        async with asyncio.timeout(5):
            while len(engine.sessions) < 2 or not engine.sessions[1].heard:
                await stream.frames(1)
                await asyncio.sleep(0.01)
        await stream.receive("mark")
        assert [role.text for role in engine.roles] == [engine.roles[0].text] * 2
        await stream.send("stop", stop={})
        await stream.closed()
    assert (await where.row("CA1")).outcome == "caller_hung_up"


async def test_an_engine_that_is_full_when_the_socket_comes(open_exchange: Open) -> None:
    engine = ScriptedEngine()
    where = await open_exchange(engine)
    nonce = nonce_of(await where.ring("CA1"))
    await where.state.desk._reservations.release("CA1")
    engine.slots = 0
    async with where.stream("CA1", nonce) as stream:
        await stream.closed()
    assert (await where.row("CA1")).outcome == "engine_full"
    assert "busy" in (await where.after("CA1"))[0].text  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("wrong", ["used", "unknown", "none", "call", "account"])
async def test_a_socket_that_may_not_carry_the_call_never_touches_the_engine(open_exchange: Open, wrong: str) -> None:
    engine = ScriptedEngine(lambda index: AgentFrame(index, TONE))
    where = await open_exchange(engine)
    nonce = nonce_of(await where.ring("CA1"))
    heard_before = 0
    if wrong == "used":
        async with where.stream("CA1", nonce) as first:
            await first.frames(1)
            await first.receive("mark")
            heard_before = len(engine.sessions[0].heard)
            await _refused(where, "CA1", nonce)
            assert len(engine.sessions[0].heard) == heard_before
            await first.frames(1)
            await first.receive("mark")
        return
    nonce = {"unknown": "made-up", "none": ""}.get(wrong, nonce)
    account = {"account_id": "AC9"} if wrong == "account" else {}
    await _refused(where, "CA2" if wrong == "call" else "CA1", nonce, **account)
    assert [session.heard for session in engine.sessions] == [[]]
    assert (await where.state.calls.call_by_carrier_id("twilio", "CA1")).status == "ringing"


async def _refused(where: Exchange, call_id: str, nonce: str, **start: str) -> None:
    async with where.stream(call_id, nonce, **start) as stream:
        await stream.frames(2)
        code, reason = await stream.closed()
    assert code == 1008
    assert reason


async def test_a_locked_database_keeps_no_caller_waiting(
    open_exchange: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in silence: it rings, and once the database is back the call goes on."""
    monkeypatch.setattr(call, "_ROW_BEFORE_CLOSE_S", 0.1)
    monkeypatch.setattr(decisions, "DECIDES_WITHIN_S", 0.3)
    engine = ScriptedEngine(lambda index: EngineLost("It is gone.") if index else AgentFrame(index, TONE))
    where = await open_exchange(engine)
    async with where.call() as stream:
        await stream.frames(1)
        await stream.receive("mark")
        with closing(sqlite3.connect(tmp_path / "parley.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await stream.frames(1)
            await stream.closed(1)
            say, play, again = await where.after(stream.call_id)
            assert isinstance(say, twiml.Say)
            assert isinstance(play, twiml.Play)
            assert isinstance(again, twiml.Redirect)
            play, again = await where.follow(stream.call_id, again)
            assert (await where.state.calls.call_by_carrier_id("twilio", stream.call_id)).status == "live"
    connected = False
    async with asyncio.timeout(20):
        while not connected:
            verbs = await where.follow(stream.call_id, again)
            connected, again = any(isinstance(verb, twiml.Connect) for verb in verbs), verbs[-1]
    first, second = await where.state.calls.parts("twilio", stream.call_id)
    assert (first.outcome, second.continues) == ("engine_lost", first.id)


async def test_a_database_that_stays_locked_is_an_apology_in_the_end(
    open_exchange: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "DECIDES_WITHIN_S", 0.1)
    monkeypatch.setattr(aftermath, "STEP_S", 0.2)
    where = await open_exchange(ScriptedEngine(lambda index: AgentFrame(index, SILENCE)))
    async with where.call() as stream:
        await stream.frames(1)
        await stream.receive("mark")
        stream.socket.transport.abort()
        await where.row(stream.call_id)
    with closing(sqlite3.connect(tmp_path / "parley.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        verbs = await where.after(stream.call_id)
        for _ in range(decisions.MOST_ASKED):
            if isinstance(verbs[-1], twiml.Hangup):
                break
            verbs = await where.follow(stream.call_id, verbs[-1])
        assert isinstance(verbs[0], twiml.Say)
        assert isinstance(verbs[-1], twiml.Hangup)
    async with asyncio.timeout(20):
        while True:
            if not where.state.engine.capacity().used:  # the reconnection came too late, and was taken back
                return
            await asyncio.sleep(0.05)


async def test_shutting_down_ends_live_calls_with_a_row(open_exchange: Open) -> None:
    where = await open_exchange()
    async with where.call() as stream:
        await stream.frames(1)
        await stream.receive("mark")
        await where.state.desk.close()
        await stream.closed()
    status, outcome, reason = await ended(where, stream)
    assert (status, outcome) == ("ended", "gateway_lost")
    assert "shut down" in reason
    assert isinstance((await where.ring("CA9"))[0], twiml.Say)
    assert (await where.row("CA9")).status == "refused"
