"""/api/chat over real sockets with a real Ogg-Opus client; the engine repeats the caller or follows a script."""

import asyncio
import re

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agent.duplex import FRAME_SAMPLES, AgentFrame, EngineUnavailable, Sampling
from agent.engines.loopback import LoopbackEngine
from agent.engines.personaplex.chat import Limits
from agent.engines.personaplex.server import DEFAULT_TEXT, ServerOptions, create_app
from tests.agent.engines.chat_server import Client, calling, closing, free, served, served_beside, tone
from tests.agent.exchange import TONE, ScriptedEngine

pytest.importorskip("sphn", reason="sphn is not installed; pip install 'parley[remote]'")

WRONG_QUERIES = {
    "voice_prompt=nobody.pt": "voice_prompt",
    "voice_prompt=../../etc/passwd": "voice_prompt",
    "voice_prompt=%2e%2e%2fNATF2.pt": "voice_prompt",
    "voice_prompt=/NATF2.pt": "voice_prompt",
    "voice_prompt=NATF2.pt%00": "voice_prompt",
    "seed=x": "seed",
    "seed=1.5": "seed",
    "seed=9223372036854775808": "seed",
    "seed=-2": "seed",
    "format=mp3": "format",
    "text_temperature=hot": "text_temperature",
    "audio_temperature=nan": "audio_temperature",
    "audio_topk=-1": "audio_topk",
    f"text_prompt={'a' * 20_001}": "text_prompt",
    "text_prompt=caf%e9": "UTF-8",
}


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation at the best lag within 20 ms: Opus is late by some milliseconds."""
    n = len(a) - 480
    return max(float(np.corrcoef(a[lag : lag + n], b[:n])[0, 1]) for lag in range(480))


@pytest.mark.parametrize("pcm", [False, True])
async def test_one_frame_out_for_each_frame_in(loopback, pcm: bool) -> None:
    _, address = loopback
    async with calling(address, pcm) as client:
        said = tone(30)
        await client.say(said)
        heard = await client.hear(30)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.socket.recv()
    assert heard.shape == (30 * FRAME_SAMPLES,)
    assert alike(heard, np.concatenate(said)) > 0.95


async def test_the_handshake_comes_when_the_prompt_is_in_and_early_sound_is_kept() -> None:
    engine = ScriptedEngine(play=lambda index: AgentFrame(index, TONE, f" {index}"), ready_after=asyncio.Event())
    async with served(engine) as address, calling(address) as client:
        await client.say(tone(5))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.take()
        engine.ready_after.set()
        await client.hear(5)
        assert [kind.__name__ for kind in client.kinds] == ["Handshake", *["Text", "Sound"] * 5]
        assert client.text == " 0 1 2 3 4"


async def test_a_client_that_asks_for_nothing_gets_the_defaults() -> None:
    engine = ScriptedEngine()
    async with served(engine) as address, calling(address) as client:
        await client.take()
    role = engine.roles[0]
    assert (role.text, role.voice, role.seed, role.sampling) == (DEFAULT_TEXT, "NATF2.pt", None, Sampling())


async def test_what_a_client_asks_for_reaches_the_engine() -> None:
    engine = ScriptedEngine()
    text = "You work for Café & Söhne? 100%. " * 400
    query = {"voice_prompt": "own", "text_prompt": text, "seed": "7", "text_temperature": "0", "audio_topk": "9"}
    async with served(engine) as address, calling(address, **query, unknown="x") as client:
        await client.take()
    role = engine.roles[0]
    assert (role.text, role.voice, role.seed) == (text, "own.wav", 7)
    assert (role.sampling.text_temperature, role.sampling.audio_top_k) == (0.0, 9)
    assert role.card.facts == ()


async def test_an_empty_prompt_and_a_seed_of_minus_one_are_taken() -> None:
    engine = ScriptedEngine()
    async with served(engine) as address, calling(address, text_prompt="", seed="-1", voice_prompt="") as client:
        await client.take()
    assert (engine.roles[0].text, engine.roles[0].seed) == ("", None)


@pytest.mark.parametrize("query", WRONG_QUERIES)
async def test_a_wrong_query_is_refused_before_the_upgrade_with_a_sentence(loopback, query: str) -> None:
    engine, address = loopback
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{address}/api/chat?{query}")
    response = refused.value.response
    assert response.status_code == 400
    assert re.fullmatch(rf".*{WRONG_QUERIES[query]}.*\.\n", response.body.decode())
    assert engine.capacity().used == 0


async def test_a_full_engine_refuses_before_the_upgrade_and_says_when_to_come_again(loopback) -> None:
    engine, address = loopback
    async with calling(address) as one, calling(address) as other:
        await one.take()
        await other.take()
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}/api/chat")
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) > 0
        await one.say(tone(1))
        await one.hear(1)
    await free(engine)
    async with calling(address) as again:
        await again.take()


async def test_a_token_is_asked_for() -> None:
    engine = ScriptedEngine()
    async with served(engine, ServerOptions(token="s3cret")) as address:
        for token in ("", "s3cre", "s3cret2", "caf\xe9"):
            with pytest.raises(InvalidStatus) as refused:
                async with calling(address, token=token):
                    pass
            assert refused.value.response.status_code == 401
        async with httpx.AsyncClient(base_url=f"http://{address}") as http:
            assert (await http.get("/api/voices")).status_code == 401
            given = {"Authorization": "Bearer s3cret"}
            assert (await http.get("/api/voices", headers=given)).status_code == 200
            assert (await http.get("/health")).status_code == 200
    assert engine.roles == []


async def test_a_prompt_that_takes_too_long_ends_the_call() -> None:
    engine = ScriptedEngine(ready_after=asyncio.Event())
    async with served(engine, ServerOptions(limits=Limits(ready_s=0.2))) as address, calling(address) as client:
        code, reason = await closing(client)
        assert code == 1013
        assert "0.2 seconds" in reason


async def test_frames_the_engine_dropped_are_silence_and_the_agent_may_end_the_call() -> None:
    plays = [AgentFrame(0, TONE), AgentFrame(3, TONE), AgentFrame(4, TONE, ends_call=True)]
    engine = ScriptedEngine(play=lambda index: plays[index])
    async with served(engine) as address, calling(address, pcm=True) as client:
        await client.say(tone(3))
        heard = (await client.hear(5)).reshape(5, -1)
        assert [bool(np.abs(frame).max() > 0.1) for frame in heard] == [True, False, False, True, True]
        assert (await closing(client))[0] == 1000


async def test_a_lost_session_is_told() -> None:
    from agent.duplex import EngineLost

    engine = ScriptedEngine(play=lambda index: EngineLost("The device failed."))
    async with served(engine) as address, calling(address) as client:
        await client.say(tone(1))
        assert await closing(client) == (1011, "The device failed.")


async def test_a_server_that_stops_says_so_and_frees_its_slots() -> None:
    engine = LoopbackEngine(slots=2, delay_frames=0)
    with served_beside(engine) as address:
        client = await connect(f"ws://{address}/api/chat")
        await client.recv()
    assert engine.capacity().used == 0
    assert await closing(Client(client)) == (1012, "The engine is being stopped.")


async def test_a_failed_device_is_told_to_who_restarts_the_process() -> None:
    class Failed(ScriptedEngine):
        failure = ""

    engine = Failed()
    async with served(engine) as address, httpx.AsyncClient(base_url=f"http://{address}") as http:
        assert (await http.get("/health")).status_code == 200
        engine.failure = "The device failed (RuntimeError); restart the engine."
        for path in ("/health", "/ready"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["reason"]) == (503, engine.failure)


@pytest.mark.parametrize("failure", [EngineUnavailable("There is no model."), KeyError("weights")])
async def test_a_start_that_fails_in_any_way_stops_the_server(failure: Exception) -> None:
    class Failing(ScriptedEngine):
        async def start(self) -> None:
            raise failure

    app, stopped = create_app(Failing(), list, ServerOptions()), asyncio.Event()
    app.state.stop = stopped.set
    async with asyncio.timeout(5), app.router.lifespan_context(app):
        await stopped.wait()
    assert app.state.failure is failure


async def test_behind_one_address_health_tells_the_slots_of_all_replicas() -> None:
    engine = LoopbackEngine(slots=2, delay_frames=0)
    async with (
        served(engine, ServerOptions(replicas=3, instance="fleet")) as address,
        httpx.AsyncClient(base_url=f"http://{address}") as http,
    ):
        told = (await http.get("/health")).json()
        assert (told["slots"], told["instance"]) == (6, "fleet")
        assert (await http.get("/ready")).json()["slots"] == 2


async def test_what_operators_ask(loopback) -> None:
    _, address = loopback
    async with httpx.AsyncClient(base_url=f"http://{address}") as http:
        async with calling(address) as client:
            await client.say(tone(4))
            await client.hear(4)
            told = (await http.get("/health")).json()
            assert len(told.pop("instance")) == 16
            assert told == {"status": "ok", "slots": 2, "used": 1, "formats": ["opus", "pcm_s16le"]}
            assert (await http.get("/ready")).json()["status"] == "ready"
            assert (await http.get("/api/chat")).status_code == 426
        voices = (await http.get("/api/voices")).json()
        assert voices == {"voices": ["NATF2.pt", "NATM1.pt", "own.wav"], "default": "NATF2.pt"}
        await free(loopback[0])
        await asyncio.sleep(0.05)
        metrics = (await http.get("/metrics")).text
    for line in (
        "parley_engine_slots 2.0",
        "parley_engine_slots_used 0.0",
        "parley_chat_frames_in_total 4.0",
        "parley_chat_frames_out_total 4.0",
        'parley_chat_calls_total{outcome="client_left"} 1.0',
        "parley_chat_ready_seconds_count 1.0",
    ):
        assert line in metrics.splitlines()
