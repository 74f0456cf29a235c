"""The load: N phones in this process, started by the bench with one line of JSON on standard input.

    {"url": …, "calls": 20, "seconds": 20, "auth_token": …, "number": …} ──▶
    {"at": "begun"} … {"at": "ending"} … {"at": "over", "calls": [{"bursts": […], …}], "lateness_ms": …, "cpu_pct": …}

It is honest about itself: how late it sent, and how much of a core it took.
"""

import asyncio
import base64
import contextlib
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.bench.gateway import marker
from agent.bench.gateway.wire import PhoneWire
from telephony.audio import g711
from telephony.media import PHONE
from telephony.simulator.phone import WEBHOOK_PATH, Phone
from telephony.simulator.signing import ACCOUNT_SID, new_sid
from telephony.simulator.stream import StreamOffer
from telephony.simulator.twiml import Connect, parse

_PACKET_S = PHONE.packet_ms / 1000
_CLOSES_S = 5.0
_MEASURE_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for. Without ``auth_token`` the URL is that of a media socket, else of a gateway to ring at."""

    url: str
    calls: int
    seconds: float
    auth_token: str = ""
    number: str = ""
    seed: int = 0


@dataclass(slots=True)
class _Caller:
    """A phone and what it says; ``due_s`` is when it says its next packet."""

    wire: PhoneWire
    track: NDArray[np.int16]
    payloads: list[str] = field(default_factory=list)
    due_s: float = 0.0


async def run(load: Load) -> dict[str, Any]:
    """Hold the calls; return what was heard in them.

    Raises:
        OSError, InvalidHandshake: a socket could not be opened.
        CallFailed: the gateway did not answer with a stream.
    """
    callers = [await _dial(load, number) for number in range(load.calls)]
    cpu_s, began_s = time.process_time(), time.monotonic()
    lateness_ms = await _talk(callers, load.seconds)
    _say({"at": "ending"})
    figures = {
        "cpu_pct": 100 * (time.process_time() - cpu_s) / (time.monotonic() - began_s),
        "lateness_ms": {f"p{share}": float(np.percentile(lateness_ms, share)) for share in (50, 95, 99, 100)},
    }
    for caller in callers:
        caller.wire.hang_up()
    for caller in callers:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSES_S):
                await caller.wire.closed.wait()
        caller.wire.abort()
    return {"at": "over", "calls": [_heard(caller) for caller in callers], **figures}


async def _dial(load: Load, number: int) -> _Caller:
    offer = await _ring(load) if load.auth_token else StreamOffer(load.url, {}, new_sid("CA"), ACCOUNT_SID)
    host, port = offer.url.split("/")[2].rsplit(":", 1)
    _, wire = await asyncio.get_running_loop().create_connection(lambda: PhoneWire(offer), host, int(port))
    await wire.connected
    said = marker.track(load.seed + number)
    return _Caller(wire, said, [base64.b64encode(packet).decode() for packet in marker.packets(said)])


async def _ring(load: Load) -> StreamOffer:
    import httpx

    phone, call_id = Phone(load.url, load.auth_token), new_sid("CA")
    form = phone.form(call_id, "+15550199", load.number, "ringing")
    async with httpx.AsyncClient(trust_env=False, timeout=15) as http:
        answer = await http.post(
            load.url + WEBHOOK_PATH, data=form, headers=phone.headers(load.url + WEBHOOK_PATH, form)
        )
    verb = next((verb for verb in parse(answer.content) if isinstance(verb, Connect)), None)
    if verb is None:
        raise OSError("The gateway did not answer the call with a stream.")
    return phone.offer(verb, call_id)


async def _talk(callers: list[_Caller], seconds: float) -> list[float]:
    """Say every packet when it is due, the phones spread over the 80 ms of a frame; return how late each was, ms."""
    begin_s = time.monotonic()
    for position, caller in enumerate(callers):
        # Frames of different calls end at different times, as on a real line.
        caller.due_s = begin_s + 4 * _PACKET_S * position / len(callers)
    waiting = list(callers)
    lateness_ms: list[float] = []
    reported = False
    while waiting[0].due_s < begin_s + seconds:
        caller = waiting.pop(0)
        delay_s = caller.due_s - time.monotonic()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        now_s = time.monotonic()
        if caller.wire.said_packets or caller.due_s < now_s:
            lateness_ms.append(max(0.0, (now_s - caller.due_s) * 1000))
        _say_next(caller)
        caller.due_s += _PACKET_S
        _insert(waiting, caller)
        if not reported and now_s > begin_s + _MEASURE_AFTER_S:
            reported = True
            _say({"at": "begun"})
    return lateness_ms


def _say_next(caller: _Caller) -> None:
    if not caller.wire.began:
        caller.wire.begin()
        return
    caller.wire.say(caller.payloads[caller.wire.said_packets % len(caller.payloads)])


def _insert(waiting: list[_Caller], caller: _Caller) -> None:
    """Keep the list by due time: who has just spoken is nearly always the last."""
    place = len(waiting)
    while place and waiting[place - 1].due_s > caller.due_s:
        place -= 1
    waiting.insert(place, caller)


def _heard(caller: _Caller) -> dict[str, Any]:
    wire = caller.wire
    end = wire.ear[-1][0] + len(wire.ear[-1][1]) if wire.ear else 0
    heard = np.zeros(end, np.int16)
    for begin, audio in wire.ear:
        heard[begin : begin + len(audio)] = g711.decode(audio)
    bursts = marker.find_bursts(caller.track, heard, wire.said_packets)
    return {"bursts": [[burst.said_ms, burst.latency_ms] for burst in bursts], "error": wire.error}


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the order, carry it out, tell what was heard."""
    from uvicorn.loops.auto import auto_loop_factory

    load = Load(**json.loads(sys.stdin.readline()))
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        _say(runner.run(run(load)))


if __name__ == "__main__":
    main()
