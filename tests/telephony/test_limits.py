"""Limits in virtual time, and over real sockets."""

import asyncio
import json

import pytest

from telephony.limits import LineLimits, MessageLimit, RateLimit
from telephony.simulator import HangUp as PutDown
from telephony.simulator import Pause, ScriptedCaller
from tests.telephony.line import Handler, form, start_message
from tests.telephony.test_routes import closed


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_key_has_its_minute_and_gets_it_back():
    clock = Clock()
    limit = RateLimit(3, clock)
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allows("b")
    clock.now_s = 20
    assert [limit.allows("a") for _ in range(2)] == [True, False]
    clock.now_s = 1_000
    assert [limit.allows("a") for _ in range(4)] == [True, True, True, False]


def test_no_key_and_no_limit_are_not_counted():
    assert all(RateLimit(1).allows("") for _ in range(5))
    assert all(RateLimit(0).allows("a") for _ in range(5))
    assert all(MessageLimit(0).allows("x" * 10**6) for _ in range(5))


def test_keys_are_bounded_and_the_busy_ones_stay():
    limit = RateLimit(2, Clock())
    for index in range(30_000):
        limit.allows("busy")
        limit.allows(str(index))
    assert len(limit._buckets) == 10_000
    assert not limit.allows("busy")


def test_messages_count_by_their_length():
    clock = Clock()
    limit = MessageLimit(100, clock)
    assert sum(limit.allows("x") for _ in range(2_000)) == 1_000
    clock.now_s = 100
    assert sum(limit.allows("x" * 4_096 * 99) for _ in range(100)) == 10


async def test_a_number_that_calls_all_the_time_hears_a_sentence(serve):
    line = await serve(limits=LineLimits(calls_per_minute=2))
    answers = [await line.post("/twilio/voice", form(CallSid=f"CA{index}")) for index in range(3)]
    assert ["sorry" in answer.text for answer in answers] == [False, False, True]
    assert len(line.handler.calls) == 2
    other = await line.post("/twilio/voice", form(From="+15550002"))
    assert "sorry" not in other.text


async def test_a_call_that_asks_without_end_is_stopped_and_others_are_not(serve):
    line = await serve(limits=LineLimits(requests_per_minute=2))
    codes = [(await line.post("/twilio/action", form(CallSid="CA1"))).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert (await line.post("/twilio/voice", form(CallSid="CA2"))).status_code == 200


async def test_a_call_cannot_open_sockets_without_end(serve):
    line = await serve(limits=LineLimits(streams_per_minute=1))
    for expected in (1000, 1008):
        async with line.socket() as socket:
            await socket.send(start_message())
            await socket.send('{"event":"stop","streamSid":"MZ1"}')
            assert (await closed(socket))[0] == expected
    assert len(line.handler.sockets) == 1


@pytest.mark.parametrize("size", [100, 500_000])
async def test_a_flooding_socket_is_closed_and_a_call_beside_it_goes_on(serve, size):
    line = await serve(limits=LineLimits(messages_per_s=60))

    async def flood():
        async with line.socket() as socket:
            await socket.send(start_message())
            for _ in range(60 * 60 if size == 100 else 20):
                await socket.send(json.dumps({"event": "x" * size}))
            return await closed(socket)

    caller = ScriptedCaller([Pause(400), PutDown()])
    flooded, call = await asyncio.gather(flood(), line.phone.call(caller, to_number="+1"), return_exceptions=True)
    assert not isinstance(call, BaseException)
    assert (call.errors, call.duration_ms) == ((), 400)
    assert "1008" in str(flooded) or flooded[0] == 1008  # the close may come while we still send


async def test_forgeries_do_not_flood_the_log(serve, caplog, monkeypatch):
    monkeypatch.setattr("telephony.routes._REFUSALS_LOGGED_PER_MINUTE", 3)
    line = await serve(Handler())
    codes = {(await line.post("/twilio/voice", form(), {})).status_code for _ in range(10)}
    assert codes == {403}
    assert caplog.text.count("webhook refused") == 3
