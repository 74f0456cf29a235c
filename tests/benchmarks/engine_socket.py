"""What a frame's way through the engine's server costs, as Ogg-Opus and as raw sound, in one run.

python -m tests.benchmarks.engine_socket [CALLS] [SECONDS] [TICK_MS] [SWITCH_MS]

Every call sends a frame of noise each 80 ms, encoded beforehand, and takes the time until a frame comes back; it
decodes nothing. The server is a process of its own, whose CPU is read from /proc. Its engine is PersonaPlex's, but
the device is a wait of TICK_MS, as for a GPU's answer: a CPU would be busy with the model. SWITCH_MS is how long a
thread that wants the interpreter waits for it; left out, it is as in `parley engine`.
"""

import asyncio
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection

import httpx
import numpy as np
import uvicorn
from websockets.asyncio.client import connect

from agent.commands.engine import SWITCH_S
from agent.duplex import FRAME_MS, FRAME_SAMPLES, load_engine
from agent.engines.personaplex.graph import Step
from agent.engines.personaplex.server import ServerOptions, create_app, listen, server_config
from agent.engines.personaplex.step import Spoken
from agent.logs import configure_logging
from agent.wire.messages import sound_message
from agent.wire.sound import sound_writer

FRAME_S = FRAME_MS / 1000
SETTLE_S = 2.0


def serve(slots: int, tick_s: float, switch_s: float, told: Connection) -> None:
    configure_logging("error")
    sys.setswitchinterval(switch_s)

    def wait(step: Step, *_: object) -> Spoken:
        time.sleep(tick_s)
        return step._said

    Step.run = wait
    options = {"engine_slots": str(slots), "engine_checkpoint": "tiny", "engine_device": "cpu"}
    engine = load_engine("personaplex", options)
    app = create_app(engine, lambda: ["NATF2"], ServerOptions())
    with listen("127.0.0.1", 0) as listening:
        told.send(listening.getsockname()[1])
        uvicorn.Server(server_config(app, host="127.0.0.1", port=0)).run(sockets=[listening])


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has taken, all its threads."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def frames_of(count: int, pcm: bool) -> list[bytes]:
    noise = np.random.default_rng(0).normal(0, 0.1, (count, FRAME_SAMPLES)).astype(np.float32)
    writer = sound_writer(pcm)
    return [sound_message(writer.write(frame)) for frame in noise]


async def call(url: str, begins_at: float, frames: list[bytes], latencies: list[float]) -> None:
    sent: list[float] = []
    async with connect(url, compression=None) as socket:
        await socket.recv()

        async def say() -> None:
            for n, frame in enumerate(frames):
                await asyncio.sleep(begins_at + n * FRAME_S - time.monotonic())
                sent.append(time.monotonic())
                await socket.send(frame)

        async def hear() -> None:
            heard = 0
            while heard < len(frames) - 1:
                message = await socket.recv()
                if message[:1] == b"\x01" and heard < len(sent):
                    if time.monotonic() - begins_at > SETTLE_S:
                        latencies.append(time.monotonic() - sent[heard])
                    heard += 1

        async with asyncio.TaskGroup() as group:
            group.create_task(say())
            group.create_task(hear())


async def load(port: int, calls: int, seconds: float, pcm: bool, pid: int) -> dict[str, float]:
    frames, latencies = frames_of(round(seconds / FRAME_S), pcm), list[float]()
    url = f"ws://127.0.0.1:{port}/api/chat?seed=1" + ("&format=pcm_s16le" if pcm else "")
    began, at = cpu_s(pid), time.monotonic() + 1.0
    async with asyncio.TaskGroup() as group:
        for n in range(calls):
            group.create_task(call(url, at + n * FRAME_S / calls, frames, latencies))
    p50, p95, p99 = (1000 * float(q) for q in np.quantile(latencies, (0.5, 0.95, 0.99)))
    late = sum(latency > FRAME_S for latency in latencies) / len(latencies)
    cpu = (cpu_s(pid) - began) / seconds
    return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "late_percent": 100 * late, "cpu_percent": 100 * cpu}


def main(calls: int = 40, seconds: float = 20.0, tick_ms: float = 30.0, switch_ms: float = 1000 * SWITCH_S) -> None:
    mine, theirs = multiprocessing.Pipe()
    given = (calls, tick_ms / 1000, switch_ms / 1000, theirs)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=given)
    server.start()
    try:
        port = mine.recv()
        while httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False).status_code != httpx.codes.OK:
            time.sleep(0.2)
        assert server.pid
        opus, pcm = (asyncio.run(load(port, calls, seconds, kind, server.pid)) for kind in (False, True))
        ratios = {name: value / pcm[name] for name, value in opus.items() if pcm[name]}
        found = {"opus": opus, "pcm": pcm, "opus / pcm": ratios}
        for name, row in found.items():
            print(f"{name:10}", *(f"{what} {value:.2f}" for what, value in row.items()))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float, float, float), sys.argv[1:], strict=False)))
