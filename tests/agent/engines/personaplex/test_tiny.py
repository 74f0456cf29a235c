"""The tiny model through `parley infer`, and through a server and a client: plumbing, seeds, cleaning up."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agent.cli import app
from agent.duplex import load_engine
from tests.agent.engines.chat_server import calling, served, tone

pytest.importorskip("sphn", reason="sphn is not installed; pip install 'parley[remote]'")


@pytest.fixture
def infer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("in.wav", 0.3 * np.sin(np.arange(16_000) / 9), 16_000)

    def run(*args: str) -> tuple[dict, np.ndarray]:
        result = CliRunner().invoke(app, ["infer", "in.wav", "out.wav", "--tiny", "--device", "cpu", "--json", *args])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout), soundfile.read("out.wav")[0]

    return run


def test_the_same_seed_gives_the_same_answer_and_another_another(infer) -> None:
    report, sound = infer("--seed", "3", "--text", "You are Ann.", "--silence-s", "0.4")
    assert report["frames"] == 18
    assert sound.shape == (18 * 1_920, 2)
    assert report["words"]
    again, same = infer("--seed", "3", "--text", "You are Ann.", "--silence-s", "0.4")
    assert (again["words"], np.array_equal(same, sound)) == (report["words"], True)
    other, _ = infer("--seed", "4", "--text", "You are Ann.", "--silence-s", "0.4")
    assert other["words"] != report["words"]


def test_greedy_needs_no_seed(infer) -> None:
    assert infer("--greedy")[0]["words"] == infer("--greedy")[0]["words"]


@pytest.fixture
def own_voices(tmp_path):
    soundfile.write(tmp_path / "own.wav", 0.3 * np.sin(np.arange(24_000) / 9), 24_000)
    (tmp_path / "torn.wav").write_bytes(b"RIFF")
    (tmp_path / "torn.pt").write_bytes(b"PK")
    return tmp_path


REFUSED = {
    "a prompt too long": ({"text_prompt": "word " * 900, "voice_prompt": "own"}, "takes 927 frames, 902 of them text"),
    "a voice that is none": ({"voice_prompt": "NATF2.pt"}, "names no voice of this server"),
    "a torn recording": ({"voice_prompt": "torn.wav"}, "torn.wav is not a WAV file"),
    "torn embeddings": ({"voice_prompt": "torn.pt"}, "torn.pt is not a file of tensors"),
    "too many candidates": ({"voice_prompt": "own", "text_topk": "251"}, "text top-k must be from 1 to 250"),
}


async def test_a_role_that_cannot_be_played_is_refused_before_the_upgrade(own_voices) -> None:
    options = {"engine_checkpoint": "tiny", "engine_device": "cpu", "engine_slots": "1"}
    engine = load_engine("personaplex", options | {"engine_voices": str(own_voices)})
    await engine.start()
    async with served(engine, voices=engine.voices()) as address:
        for what, (query, sentence) in REFUSED.items():
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://{address}/api/chat?{urlencode(query)}")
            assert refused.value.response.status_code == 400, what
            said = refused.value.response.body.decode()
            assert sentence in said, what
            assert said.endswith(".\n"), what
            assert engine.capacity().used == 0, what
        async with calling(address, voice_prompt="own", text_prompt="word " * 200) as client:
            await client.say(tone(2))
            await client.hear(2)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


async def test_the_command_serves_calls_by_seed_until_it_is_told_to_stop() -> None:
    port = free_port()
    command = [sys.executable, "-m", "agent.cli", "engine", "--tiny", "--device", "cpu", "--slots", "3"]
    with subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.PIPE, env=os.environ) as process:  # noqa: ASYNC220
        try:
            await _ready(port)
            first, second = await asyncio.gather(_answer(port, "5"), _answer(port, "5"))
            assert first == second
            assert first != await _answer(port, "6")
            metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text  # noqa: ASYNC210
            assert "parley_engine_prompts_total 3.0" in metrics
            assert "parley_engine_ticks_total" in metrics
            assert "parley_engine_cache_hits_total" in metrics
            assert await _answer(port, "5", meanwhile=process.terminate) == first
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert b"random weights" in said


async def _ready(port: int) -> None:
    started = time.monotonic()
    async with httpx.AsyncClient(trust_env=False) as http:
        while time.monotonic() - started < 60:
            try:
                if (await http.get(f"http://127.0.0.1:{port}/ready")).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError("the engine did not come up")


async def _answer(port: int, seed: str, meanwhile: Callable[[], None] = lambda: None) -> str:
    async with calling(
        f"127.0.0.1:{port}", pcm=True, seed=seed, text_prompt="You are Ann.", voice_prompt="VARM1.pt"
    ) as client:
        await client.take()
        meanwhile()
        for frame in tone(20):
            await client.say([frame])
        await client.hear(20)
        return client.text
