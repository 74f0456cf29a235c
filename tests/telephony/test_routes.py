"""The routes over real sockets: what is refused, when, and how it is said."""

import asyncio
import json
from contextlib import suppress

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from telephony.carrier import HangUp
from telephony.errors import BadStream
from telephony.media import AudioPacket
from tests.telephony.line import OLD_TOKEN, Handler, form, start_message

MEDIA = json.dumps(
    {"event": "media", "sequenceNumber": "2", "streamSid": "MZ1", "media": {"timestamp": "0", "payload": "/" * 4}}
)


async def closed(socket) -> tuple[int, str]:
    """How the server closed the socket."""
    with suppress(ConnectionClosed):
        async with asyncio.timeout(5):
            async for _ in socket:
                pass
    return socket.close_code, socket.close_reason


@pytest.mark.parametrize("path", ["/twilio/voice", "/twilio/action"])
async def test_webhooks_need_a_signature(serve, path):
    line = await serve()
    for headers in ({}, {"X-Twilio-Signature": "bm9wZQ=="}, {"X-Twilio-Signature": ""}):
        answer = await line.post(path, form(), headers)
        assert answer.status_code == 403
    assert (line.handler.calls, line.handler.ended) == ([], [])
    assert (await line.post(path, form())).status_code == 200


async def test_an_old_token_is_good_during_rotation(serve):
    line = await serve(phone_token=OLD_TOKEN)
    assert (await line.post("/twilio/voice", form())).status_code == 200


async def test_without_tokens_everything_is_refused_with_the_reason(serve):
    line = await serve(auth_tokens=())
    answer = await line.post("/twilio/voice", form())
    assert (answer.status_code, "PARLEY_TWILIO_AUTH_TOKEN" in answer.text) == (403, True)
    with pytest.raises(InvalidStatus) as refusal:
        async with line.socket():
            pass
    assert refusal.value.response.status_code == 403


async def test_a_signed_form_that_cannot_be_used_is_400(serve):
    line = await serve()
    answer = await line.post("/twilio/voice", form(To=""))
    assert (answer.status_code, "lacks To" in answer.text) == (400, True)


async def test_forms_are_bounded(serve):
    line = await serve()
    async with httpx.AsyncClient() as http:
        big = await http.post(line.url + "/twilio/voice", content=b"a=" + b"b" * 70_000)
        many = await http.post(line.url + "/twilio/voice", content=b"&".join(b"a=1" for _ in range(300)))
        binary = await http.post(line.url + "/twilio/voice", content=b"\xff\xfe")
    assert [big.status_code, many.status_code, binary.status_code] == [413, 400, 400]


async def test_a_handler_that_hangs_is_given_up_before_twilio_does(serve, monkeypatch):
    monkeypatch.setattr("telephony.routes._HANDLER_TIMEOUT_S", 0.1)

    class Slow(Handler):
        async def answer(self, call):
            await asyncio.sleep(30)
            return HangUp()

    line = await serve(Slow())
    answer = await line.post("/twilio/voice", form())
    assert (answer.status_code, "sorry" in answer.text) == (200, True)


@pytest.mark.parametrize("headers", [{}, {"x-twilio-signature": "bm9wZQ=="}])
async def test_a_socket_without_signature_is_refused_before_the_upgrade(serve, headers):
    line = await serve()
    with pytest.raises(InvalidStatus) as refusal:
        async with line.socket(headers=headers):
            pass
    assert refusal.value.response.status_code == 403
    assert line.handler.sockets == []


async def test_a_socket_that_does_not_say_which_call_it_is_is_closed(serve):
    line = await serve(start_timeout_s=0.1)
    async with line.socket() as socket:
        await socket.send('{"event":"connected"}')
        assert await closed(socket) == (1008, "The media socket sent no start message within 0.1 s.")
    assert line.handler.sockets == []


async def test_a_socket_that_babbles_before_its_start_is_closed(serve):
    line = await serve()
    async with line.socket() as socket:
        for _ in range(100):
            await socket.send(MEDIA)
        code, reason = await closed(socket)
    assert (code, "too much before its start" in reason) == (1008, True)


async def test_a_socket_that_leaves_before_its_start_hurts_nobody(serve):
    line = await serve()
    async with line.socket() as socket:
        await socket.send('{"event":"connected"}')
    async with line.socket() as socket:
        await socket.send(start_message())
        await socket.send('{"event":"stop","streamSid":"MZ1"}')
        assert (await closed(socket))[0] == 1000


async def test_what_the_handler_refuses_is_closed_with_its_reason(serve):
    async def refuse(handler, socket):
        raise BadStream("The nonce was used before.")

    line = await serve(Handler(refuse))
    async with line.socket() as socket:
        await socket.send(start_message())
        assert await closed(socket) == (1008, "The nonce was used before.")


async def test_malformed_messages_are_ignored_and_the_call_goes_on(serve):
    line = await serve()
    async with line.socket() as socket:
        await socket.send(start_message())
        for odd in ("[]", b"\x00", '{"event":"media","streamSid":"MZ1","media":null}', "x" * 1_000_000, "{"):
            await socket.send(odd)
        await socket.send(MEDIA)
        assert json.loads(await socket.recv())["event"] == "media"
    assert len(line.handler.ignored()) == 5


async def test_a_dropped_socket_ends_the_handler(serve):
    line = await serve()
    async with line.socket() as socket:
        await socket.send(start_message())
        await socket.send(MEDIA)
        await socket.recv()
        socket.transport.abort()
        async with asyncio.timeout(2):
            await line.handler.media_over.wait()


async def test_a_line_that_falls_silent_ends_the_handler(serve, monkeypatch):
    monkeypatch.setattr("telephony.socket._SILENT_LINE_S", 0.1)
    line = await serve()
    async with line.socket() as socket:
        await socket.send(start_message())
        assert (await closed(socket))[0] == 1000
    assert line.handler.media_over.is_set()


async def test_a_slow_handler_loses_the_oldest_messages_and_never_stops_the_reader(serve):
    go_on = asyncio.Event()

    async def slow(handler, socket):
        await go_on.wait()
        while isinstance(event := socket.protocol.receive(await socket.receive() or ""), AudioPacket):
            handler.events.append(event)

    line = await serve(Handler(slow))
    async with line.socket() as socket:
        await socket.send(start_message())
        for index in range(600):
            packet = {"timestamp": str(20 * index), "payload": "/" * 4}
            await socket.send(
                json.dumps({"event": "media", "sequenceNumber": str(index), "streamSid": "MZ1", "media": packet})
            )
        async with asyncio.timeout(5):
            await (await socket.ping())  # everything before it has been read
        go_on.set()
        await socket.send('{"event":"stop","streamSid":"MZ1"}')
        await closed(socket)
    times = [event.at_ms for event in line.handler.events]
    assert times[-1] == 20 * 599
    assert len(times) == pytest.approx(500, abs=2)
    assert line.handler.sockets[0].lost_messages >= 100


async def test_sending_after_the_end_does_nothing(serve):
    async def rude(handler, socket):
        while await socket.receive() is not None:
            pass
        await socket.send(socket.protocol.clear())
        await socket.close()
        await socket.close()
        handler.events.append(None)

    line = await serve(Handler(rude))
    async with line.socket() as socket:
        await socket.send(start_message())
    async with asyncio.timeout(2):
        await line.handler.media_over.wait()
    assert line.handler.events == [None]
