"""What can be shown of a GPU without one: nothing mixes devices, and a captured tick, done again, is the tick.

Every way that an engine goes on a GPU, on a device that computes on the CPU: see ``pretended``. What CUDA itself
does with them is shown by test_gpu.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from agent.duplex import FRAME_SAMPLES, SAMPLE_HZ, RoleCard, RolePrompt, Sampling
from agent.engines.personaplex.checkpoint import Models, load_models
from agent.engines.personaplex.graph import Step
from agent.engines.personaplex.memory import CACHE_BYTES
from agent.engines.personaplex.random_models import random_models
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import NARROW
from agent.engines.personaplex.step import tick
from agent.engines.personaplex.ticker import Ticker, TickerOptions
from tests.agent.engines.personaplex import pretended
from tests.agent.engines.personaplex.pretended import DEVICE, Pretended

CPU = torch.device("cpu")
CARD = RoleCard("Dana", "Northwind", "dispatcher", "", "", "", "", "")
TICKS = 40


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CUDAGraph", "Stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, getattr(pretended, name))
    monkeypatch.setattr(torch.cuda, "current_stream", pretended.Stream)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    monkeypatch.setitem(CACHE_BYTES, DEVICE.type, CACHE_BYTES["cpu"])
    with Pretended():
        yield


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A tiny model, with voices of both kinds of file."""
    voices: Path = tmp_path_factory.mktemp("voices")
    sound = 0.05 * np.random.default_rng(3).normal(size=SAMPLE_HZ)
    soundfile.write(voices / "recorded.wav", sound, SAMPLE_HZ)
    width = load_models("tiny", "", CPU, torch.float32).lm.config.dim
    torch.save(
        {"embeddings": torch.ones(7, 1, 1, width), "cache": torch.ones(1, 17, 4, dtype=torch.int64)},
        voices / "embedded.pt",
    )
    return load_models("tiny", str(voices), CPU, torch.float32)


def moved(models: Models) -> Models:
    lm, mimi = random_models("tiny", DEVICE, torch.float32, drawn_on=CPU)
    return Models(lm, mimi, models.text, models.voices, DEVICE, is_random=True)


def talk(models: Models, options: TickerOptions) -> tuple[list[list[int]], np.ndarray]:
    """Return the text tokens and the sound of calls: one pauses, one begins late, one is rebuilt, a fourth follows."""
    ticker = Ticker(models, options)
    ticker.warm_up()

    def begin(slot: int, voice: str, sampling: Sampling) -> None:
        role = RolePrompt(f"You are agent {slot}.", voice, CARD, sampling, seed=slot)
        for _ in ticker.take_in(slot, ticker.prepare(role, models.voices.check(voice))):
            pass

    tokens: list[list[int]] = [[], [], []]
    sound = np.zeros((3, TICKS, FRAME_SAMPLES), np.float32)
    begin(0, "recorded", Sampling(audio_temperature=0, text_temperature=0))
    begin(1, "embedded", Sampling())
    for n in range(TICKS):
        if n == 10:
            begin(2, "recorded", Sampling())
        if n == 20:
            for _ in ticker.anchor(0):
                pass
        if n == 30:
            begin(1, "embedded", Sampling())
        live = [0, *([1] if n % 3 else []), *([2] if n > 10 else [])]
        heard = {s: np.random.default_rng((s, n)).normal(0, 0.1, FRAME_SAMPLES).astype(np.float32) for s in live}
        for slot, (samples, token) in ticker.tick(heard).items():
            tokens[slot].append(token)
            sound[slot, n] = samples
    return tokens, sound


@pytest.mark.parametrize(("kept", "eager"), [(torch.float32, True), (torch.float32, False), (NARROW, False)])
def test_calls_on_a_device_say_what_they_say_on_the_cpu(
    on_cpu: Models, kept: torch.dtype, eager: bool, request: pytest.FixtureRequest
) -> None:
    tokens, sound = talk(on_cpu, TickerOptions(3, kept, anchor_s=2.0))
    request.getfixturevalue("device")
    found = talk(moved(on_cpu), TickerOptions(3, kept, anchor_s=2.0, eager=eager))
    assert found[0] == tokens
    np.testing.assert_allclose(found[1], sound, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("device")
def test_a_tick_of_kernels_done_again_is_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = pytest.importorskip("agent.engines.personaplex.kernels", reason="Triton is not installed")
    from tests.agent.engines.personaplex.published import KERNELS

    for name in KERNELS:
        monkeypatch.setattr(kernels, name, pretended.Launcher(getattr(kernels, name)))
    plain, fused = (
        random_models("tiny", DEVICE, torch.float32, drawn_on=CPU, fused=is_fused) for is_fused in (False, True)
    )
    states = [
        EngineState.empty(1, plain[0].config, plain[1], device=DEVICE, dtype=torch.float32, history=8) for _ in range(2)
    ]
    step = Step(*fused, states[1])
    step.capture(1)
    generator = torch.Generator().manual_seed(5)
    for n in range(3):
        samples, live = 0.1 * torch.randn(1, FRAME_SAMPLES, generator=generator), torch.tensor([n != 1])
        wanted = tick(*plain, states[0], samples.to(DEVICE), live.to(DEVICE), 16)
        found = step.run(samples, live, 1)
        if n != 1:
            assert found.tokens.tolist() == wanted.tokens.tolist()
            torch.testing.assert_close(found.samples.cpu(), wanted.samples.cpu(), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("device")
def test_the_device_is_strict() -> None:
    there, here = torch.zeros(3, device=DEVICE), torch.zeros(3)
    with pytest.raises(RuntimeError, match="two devices"):
        there + here
    for what in (lambda: there.copy_(here), there.cpu, there.tolist, lambda: torch.tensor([1.0, 2.0], device=DEVICE)):
        what()
        with pretended.graph(pretended.CUDAGraph()), pytest.raises(RuntimeError, match="a graph can't hold"):
            what()


@pytest.mark.usefixtures("device")
def test_a_graph_takes_down_numbers_as_they_were_and_tensors_as_they_are() -> None:
    taken, total, factor = pretended.CUDAGraph(), torch.zeros(2, device=DEVICE), 2
    with pretended.graph(taken):
        total += factor * torch.ones(2, device=DEVICE)
    factor = 5
    total.zero_()
    taken.replay()
    taken.replay()
    assert total.tolist() == [4.0, 4.0]
