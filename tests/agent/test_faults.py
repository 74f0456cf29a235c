"""What goes wrong on one line is not heard on another: floods of nonsense, dropped and dead sockets, a stalled loop."""

import asyncio
import json
import random
import socket
import struct
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.duplex import AgentFrame
from agent.pipeline import transport
from agent.websocket import EagerWebSocket
from telephony.carriers.twilio.media import TwilioMedia
from telephony.media import MessageIgnored
from tests.agent.conftest import Open
from tests.agent.exchange import TONE, RawStream, ScriptedEngine, burst

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner))
EVENTS = st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop", "clear", "", "MEDIA"])
PARTS = st.sampled_from(["start", "media", "dtmf", "mark", "streamSid", "sequenceNumber", "stop"])
SHAPED = st.builds(lambda event, parts: {"event": event} | parts, EVENTS | JSON, st.dictionaries(PARTS, JSON))
MESSAGES = st.text() | st.binary() | st.builds(json.dumps, JSON | SHAPED)


@settings(max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(MESSAGES, st.booleans())
def test_no_message_makes_the_protocol_raise(message: str | bytes, started: bool) -> None:
    protocol = TwilioMedia()
    if started:
        protocol.receive('{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1","accountSid":"AC1"}}')
    event = protocol.receive(message)
    if isinstance(event, MessageIgnored):
        assert len(event.reason) < 120, "a reason never holds the message"


def nonsense(stream_id: str, count: int) -> list[str | bytes]:
    """Messages of every kind, cut, mixed up and of the wrong types; the same ones each time."""
    chance = random.Random(4)
    values = [None, [], {}, "", 7, -1, 1e308, "x" * 3_000, {"payload": None}, {"payload": "%%%"}, {"name": []}]
    values += [{"payload": "AAAA", "timestamp": "-5"}, {"payload": "AAAA", "timestamp": "9" * 40}, {"digit": "00"}]
    made: list[str | bytes] = ["[]", "", "{", "null", '"media"', b"\x00\xff", '{"event":"media","media":null}']
    while len(made) < count:
        fields = {name: chance.choice(values) for name in ("media", "mark", "dtmf", "start", "sequenceNumber")}
        event = chance.choice(["media", "mark", "dtmf", "start", "connected", "Stop", None, 5])
        text = json.dumps({"event": event, "streamSid": chance.choice([stream_id, "MZother", None])} | fields)
        made.append(text[: chance.randrange(len(text))] if chance.random() < 0.3 else text)
    return made


async def assert_is_heard(stream: RawStream, seed: int) -> None:
    """Say a second; hear it back within the time that a call may be silent."""
    said = burst(seed)[: 640 * 12]
    async with asyncio.timeout(2):
        await stream.say(said)
        heard = np.concatenate([await stream.heard() for _ in range(11)])
    reference = said[: heard.size].astype(float)
    likeness = np.correlate(heard.astype(float), reference[:4_000], "valid").max()
    assert likeness > 0.8 * float((reference[:4_000] ** 2).sum())


async def test_a_thousand_malformed_messages_end_no_call(open_exchange: Open) -> None:
    where = await open_exchange()
    async with where.call() as flooded, where.call() as neighbour:
        for number, message in enumerate(nonsense(flooded.stream_id, 1_000)):
            await flooded.socket.send(message)
            if number % 250 == 0:
                await assert_is_heard(neighbour, number)
        await assert_is_heard(neighbour, 1)
        await assert_is_heard(flooded, 2)
        for stream in (flooded, neighbour):
            await stream.send("stop", stop={})
            assert (await stream.closed())[0] == 1000
    for stream in (flooded, neighbour):
        assert (await where.row(stream.call_id)).outcome == "caller_hung_up"
    assert where.state.engine.capacity().used == 0


async def test_a_phone_that_resets_its_connection_is_over_at_once(open_exchange: Open) -> None:
    where = await open_exchange()
    async with where.call() as neighbour:
        async with where.call() as dropped:
            await dropped.frames(2)
            raw = dropped.socket.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            dropped.socket.transport.abort()
            assert (await where.row(dropped.call_id)).outcome == "stream_failed"
        await assert_is_heard(neighbour, 3)
        assert where.state.engine.capacity().used == 1


async def test_a_half_open_socket_is_given_up(open_exchange: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    where = await open_exchange()
    async with where.call() as neighbour:
        await assert_is_heard(neighbour, 3)
        monkeypatch.setattr(transport, "NO_MEDIA_S", 0.5)
        async with where.call() as dead:  # it neither says anything nor closes: a network that was unplugged
            await dead.frames(2)
            dead.socket.transport.pause_reading()
            assert (await where.row(dead.call_id)).outcome == "stream_failed"
            await assert_is_heard(neighbour, 4)
            assert where.state.engine.capacity().used == 1
            dead.socket.transport.abort()


async def test_a_phone_that_takes_nothing_for_a_while_gets_all_of_it_in_order(
    open_exchange: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, late = EagerWebSocket.connection_made, transport.PhoneOutput._send_late
    waited = []

    def with_small_buffers(self: EagerWebSocket, connection: asyncio.Transport) -> None:
        made(self, connection)
        connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        connection.set_write_buffer_limits(high=2_000)

    async def send_late(self: transport.PhoneOutput) -> None:
        waited.append(len(self._unsent))
        await late(self)

    monkeypatch.setattr(EagerWebSocket, "connection_made", with_small_buffers)
    monkeypatch.setattr(transport.PhoneOutput, "_send_late", send_late)
    where = await open_exchange(ScriptedEngine(lambda index: AgentFrame(index, TONE)))
    async with where.call() as stream:
        await stream.frames(1)
        await stream.receive("mark")
        stream.socket.transport.pause_reading()
        await stream.frames(200)
        await asyncio.sleep(0.5)
        stream.socket.transport.resume_reading()
        names = [int((await stream.receive("mark"))["mark"]["name"]) for _ in range(200)]
        assert names == list(range(1, 201))
        await stream.send("stop", stop={})
        await stream.closed()
    assert waited
    assert (await where.row(stream.call_id)).outcome == "caller_hung_up"


async def test_stalls_of_the_loop_lose_nothing_and_leave_no_backlog(open_exchange: Open) -> None:
    where = await open_exchange()
    async with where.call() as one, where.call() as other:
        for seed in (5, 6):
            await one.frames(2)
            time.sleep(0.3)  # noqa: ASYNC251 - the stall
            await assert_is_heard(one, seed)
            await assert_is_heard(other, seed)
        for stream in (one, other):
            await stream.send("stop", stop={})
            await stream.closed()
    for stream in (one, other):
        row = await where.row(stream.call_id)
        assert (row.outcome, row.reason) == ("caller_hung_up", "")
