"""Whole calls of the simulated phone against a server that repeats the caller."""

import asyncio
import wave

import numpy as np
import pytest

from telephony.carrier import ConnectStream, HangUp, SayAndHangUp
from telephony.media import AudioPacket, DigitPressed, MarkPlayed
from telephony.simulator import CallFailed, Pause, Press, Say, ScriptedCaller, Wait
from telephony.simulator import HangUp as PutDown
from tests.telephony.line import Handler, tone


async def test_a_call_is_echoed_on_time_and_followed_to_its_end(serve, tmp_path):
    line = await serve()
    said = tone(400)
    caller = ScriptedCaller([Pause(100), Say("tone", said, at_ms=100), Press("5#"), Pause(300), PutDown()])
    result = await line.phone.call(caller, to_number="+15550100")

    assert result.errors == ()
    assert (result.ended_by, result.steps) == ("caller", ("Connect",))
    assert line.handler.calls[0].call_id == result.call_id
    assert line.handler.calls[0].to_number == "+15550100"
    assert line.handler.sockets[0].start.parameters == {"nonce": "n-1"}
    assert [e.digit for e in line.handler.events if isinstance(e, DigitPressed)] == ["5", "#"]
    assert line.handler.ended[0].call_status == "completed"

    packets = [e for e in line.handler.events if isinstance(e, AudioPacket)]
    assert [p.at_ms for p in packets] == list(range(0, 20 * len(packets), 20))
    assert np.diff([p.sequence for p in packets]).min() >= 1
    lag = np.argmax(np.correlate(result.heard.astype(float), result.said.astype(float), "full")) - result.said.size + 1
    assert 0 < lag <= 500 * 8  # one packet, and what a busy machine adds

    result.save(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as file:
        tracks = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert (file.getframerate(), file.getnchannels()) == (8_000, 2)
    assert np.array_equal(tracks[:, 0], result.said)


async def test_packets_keep_real_time(serve):
    line = await serve()
    began_s = asyncio.get_running_loop().time()
    result = await line.phone.call(ScriptedCaller([Pause(1_000), PutDown()]), to_number="+1")
    took_ms = (asyncio.get_running_loop().time() - began_s) * 1000
    assert result.duration_ms == 1_000
    assert took_ms >= 1_000


async def test_what_the_server_ends_goes_on_with_the_action(serve):
    async def leave(handler, socket):
        await socket.close(1000, "over")

    line = await serve(Handler(leave, after_is=SayAndHangUp("Goodbye & thanks.")))
    result = await line.phone.call(ScriptedCaller([Pause(5_000)]), to_number="+1")
    assert (result.ended_by, result.steps) == ("agent", ("Connect", "Say", "Hangup"))
    assert result.sentences == ("Goodbye & thanks.",)
    assert line.handler.ended[0].call_status == "in-progress"
    assert result.errors == ()


async def test_a_call_that_is_not_connected_hears_a_sentence(serve):
    line = await serve(Handler(answer_is=SayAndHangUp("All lines are busy.")))
    result = await line.phone.call(ScriptedCaller([Pause(5_000)]), to_number="+1")
    assert (result.steps, result.sentences, result.streams) == (("Say", "Hangup"), ("All lines are busy.",), ())


@pytest.mark.parametrize("broken", ["answer_is", "after_is", "media_does"])
async def test_a_handler_that_fails_leaves_nobody_in_dead_air(serve, broken, caplog):
    secret = LookupError("secret +15550" + str(199))

    async def fail(handler, socket):
        raise secret

    handler = Handler(fail)
    if broken != "media_does":
        setattr(handler, broken, secret)
    line = await serve(handler)
    result = await line.phone.call(ScriptedCaller([Pause(5_000)]), to_number="+1")
    assert result.steps[-1] == "Hangup"
    assert ("sorry" in " ".join(result.sentences)) == (broken != "media_does")
    logged = caplog.text
    assert "LookupError" in logged
    assert "line.py" in logged
    assert "15550199" not in logged


async def test_marks_come_back_when_played_and_on_clear(serve):
    async def speak(handler, socket):
        protocol = socket.protocol
        await socket.send(protocol.audio(b"\x00" * 160 * 10))
        await socket.send(protocol.mark("played"))
        await socket.send(protocol.audio(b"\x00" * 160 * 500))
        await socket.send(protocol.mark("cleared"))
        while (message := await socket.receive()) is not None:
            handler.events.append(event := protocol.receive(message))
            marks = [e.name for e in handler.events if isinstance(e, MarkPlayed)]
            if marks == ["played"] and isinstance(event, MarkPlayed):
                await socket.send(protocol.clear())
            if marks == ["played", "cleared"]:
                return

    line = await serve(Handler(speak))
    result = await line.phone.call(ScriptedCaller([Pause(5_000)]), to_number="+1")
    assert (result.streams[0].marks, result.streams[0].clears) == (2, 1)
    played_ms = np.count_nonzero(result.heard) / 8
    assert 200 <= played_ms <= 2_000
    assert result.streams[0].backlog_ms == 10_200


async def test_the_phone_writes_down_what_twilio_would_complain_of(serve):
    async def babble(handler, socket):
        stream = socket.start.stream_id
        for message in ("no json", '{"event":"media"}', f'{{"event":"media","streamSid":"{stream}"}}'):
            await socket.send(message)
        await socket.send(f'{{"event":"media","streamSid":"{stream}","media":{{"payload":"%"}}}}')
        await socket.send(socket.protocol.audio(b"\xff" * 161))
        await socket._websocket.send_bytes(b"audio")

    line = await serve(Handler(babble))
    result = await line.phone.call(ScriptedCaller([Pause(5_000)]), to_number="+1")
    assert [error.code for error in result.errors] == [31924, 31951, 31951, 31924, 0, 31950]


async def test_a_polite_caller_waits_for_the_agent_and_the_delays_are_measured(serve):
    """The agent greets for 600 ms, then answers each line 300 ms after it, for 500 ms."""

    async def agent(handler, socket):
        async def speak(ms):
            await socket.send(socket.protocol.audio(b"\x10\x90" * (ms * 4)))

        await speak(600)
        loud_before, quiet = False, 0
        while (message := await socket.receive()) is not None:
            event = socket.protocol.receive(message)
            if isinstance(event, AudioPacket):
                loud = event.payload.strip(b"\xff\x7f") != b""
                quiet = 0 if loud else quiet + 1
                loud_before |= loud
                if loud_before and quiet == 15:
                    loud_before = False
                    await speak(500)

    line = await serve(Handler(agent))
    caller = ScriptedCaller([Say("one", tone(300)), Say("two", tone(300)), Wait()], settle_ms=150, patience_ms=2_000)
    result = await line.phone.call(caller, to_number="+1")
    first, second = result.lines
    greeting, answer, last = result.agent_spurts
    assert greeting.end_ms + 150 <= first.start_ms + 20
    assert answer.end_ms + 150 <= second.start_ms + 20
    assert 300 <= first.onset_ms <= 800
    assert 300 <= second.onset_ms <= 800
    assert last.end_ms - last.start_ms == pytest.approx(500, abs=20)


async def test_interruptions_and_backchannels_fall_into_the_agents_speech(serve):
    """The agent talks for ever, but stops 200 ms after a caller who is loud for 300 ms."""

    async def agent(handler, socket):
        loud_ms = 0

        async def quiet_or_talk():
            await socket.send(socket.protocol.audio(b"\x10\x90" * 80))

        while (message := await socket.receive()) is not None:
            event = socket.protocol.receive(message)
            if isinstance(event, AudioPacket) and loud_ms < 300:
                loud_ms = loud_ms + 20 if event.payload.strip(b"\xff\x7f") else 0
                await quiet_or_talk()

    line = await serve(Handler(agent))
    steps = [
        Say("mm-hmm", tone(100), "backchannel", after_agent_ms=400),
        Say("stop", tone(500), "interrupt", after_agent_ms=800),
        PutDown(),
    ]
    result = await line.phone.call(ScriptedCaller(steps), to_number="+1")
    mmhmm, stop = result.lines
    began = result.agent_spurts[0].start_ms
    assert mmhmm.start_ms == pytest.approx(began + 400, abs=40)
    assert stop.start_ms == pytest.approx(began + 800, abs=40)
    assert mmhmm.onset_ms is None
    assert 300 <= stop.stop_ms <= 800


async def test_twenty_phones_at_once_hear_only_themselves(serve):
    line = await serve()

    async def one(index):
        caller = ScriptedCaller([Say("tone", tone(600, hz=300 + 100 * index), at_ms=60), Pause(300), PutDown()])
        result = await line.phone.call(caller, to_number="+1")
        spectrum = np.abs(np.fft.rfft(result.heard))
        return np.argmax(spectrum) * 8_000 / result.heard.size, result.errors

    heard = await asyncio.gather(*(one(index) for index in range(20)))
    assert [round(hz / 100) * 100 for hz, _ in heard] == [300 + 100 * i for i in range(20)]
    assert all(errors == () for _, errors in heard)


async def test_behind_a_proxy_the_public_origin_is_what_is_signed(serve):
    line = await serve(public_url="https://calls.example.com")
    result = await line.phone.call(ScriptedCaller([Pause(100), PutDown()]), to_number="+1")
    assert (result.errors, result.duration_ms) == ((), 100)


async def test_a_server_that_is_not_there_or_refuses_is_one_sentence(serve):
    line = await serve(phone_token="wrong")
    with pytest.raises(CallFailed, match=r"11200: the server answered HTTP 403.*PARLEY_PUBLIC_URL"):
        await line.phone.call(ScriptedCaller([]), to_number="+1")


async def test_a_second_connect_streams_again(serve):
    async def leave(handler, socket):
        if len(handler.sockets) > 1:
            handler.after_is = HangUp()

    async def leave_early(handler, socket):
        for _ in range(10):
            await socket.receive()
        await leave(handler, socket)

    line = await serve(Handler(leave_early, after_is=ConnectStream({"again": "1"})))
    result = await line.phone.call(ScriptedCaller([Say("a", tone(300), at_ms=60)]), to_number="+1")
    (line_said,) = result.lines
    begin_ms = int(np.flatnonzero(result.said)[0]) / 8
    assert begin_ms == pytest.approx(line_said.start_ms, abs=1)
    assert result.streams[0].duration_ms < 300 <= result.duration_ms
    assert result.steps == ("Connect", "Connect", "Hangup")
    assert len(result.streams) == 2
    assert line.handler.sockets[1].start.parameters == {"again": "1"}
