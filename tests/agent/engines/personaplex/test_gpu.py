"""On a GPU: a graph says what eager ticks say, CUDA what the CPU says; test_golden and test_kernels run there, too."""

import numpy as np
import pytest
import torch

from agent.duplex import FRAME_SAMPLES, EngineUnavailable, RoleCard, RolePrompt, Sampling, load_engine
from agent.engines.personaplex.checkpoint import Models, load_models
from agent.engines.personaplex.random_models import random_models
from agent.engines.personaplex.state import NARROW
from agent.engines.personaplex.ticker import Ticker, TickerOptions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

A_SECOND = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one CUDA device")
CPU, GPU = torch.device("cpu"), torch.device("cuda")
CARD = RoleCard("Dana", "Northwind", "dispatcher", "", "", "", "", "")
GREEDY = Sampling(audio_temperature=0, text_temperature=0)
TICKS = 120


def talk(models: Models, options: TickerOptions, sampling: Sampling) -> tuple[list[list[int]], np.ndarray]:
    """Return the text tokens and the sound of three calls, of which one pauses and one begins late."""
    ticker = Ticker(models, options)
    ticker.warm_up()
    for slot in range(3):
        role = RolePrompt(f"You are agent {slot}.", "NATF0", CARD, sampling, seed=slot)
        for _ in ticker.take_in(slot, ticker.prepare(role, "NATF0")):
            pass
    tokens: list[list[int]] = [[], [], []]
    sound = np.zeros((3, TICKS, FRAME_SAMPLES), np.float32)
    for n in range(TICKS):
        live = [0, *([1] if n % 3 else []), *([2] if n > 50 else [])]
        heard = {s: np.random.default_rng((s, n)).normal(0, 0.1, FRAME_SAMPLES).astype(np.float32) for s in live}
        for slot, (samples, token) in ticker.tick(heard).items():
            tokens[slot].append(token)
            sound[slot, n] = samples
    return tokens, sound


@pytest.fixture(scope="module")
def on_cpu() -> Models:
    return load_models("tiny", "", CPU, torch.float32)


@pytest.fixture(scope="module")
def on_gpu(on_cpu: Models) -> Models:
    """The CPU's weights, on the GPU: random numbers of the two differ."""
    torch.backends.cudnn.allow_tf32 = False
    lm, mimi = random_models("tiny", GPU, torch.float32, drawn_on=CPU, fused=True)
    return Models(lm, mimi, on_cpu.text, on_cpu.voices, GPU, is_random=True)


@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16, NARROW])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling()], ids=["greedy", "drawn"])
def test_a_graph_says_what_eager_ticks_say(on_gpu: Models, kept: torch.dtype, sampling: Sampling) -> None:
    eager = talk(on_gpu, TickerOptions(3, kept, eager=True), sampling)
    graph = talk(on_gpu, TickerOptions(3, kept), sampling)
    assert graph[0] == eager[0]
    np.testing.assert_allclose(graph[1], eager[1], rtol=0, atol=1e-4)


def test_cuda_says_what_the_cpu_says(on_cpu: Models, on_gpu: Models) -> None:
    there = talk(on_gpu, TickerOptions(3, torch.float32), GREEDY)
    here = talk(on_cpu, TickerOptions(3, torch.float32), GREEDY)
    assert there[0] == here[0]
    np.testing.assert_allclose(there[1], here[1], rtol=0, atol=1e-2)


def test_without_kernels_the_same_is_said(on_cpu: Models, on_gpu: Models) -> None:
    lm, mimi = random_models("tiny", GPU, torch.float32, drawn_on=CPU)
    plain = Models(lm, mimi, on_cpu.text, on_cpu.voices, GPU, is_random=True)
    wanted = talk(plain, TickerOptions(3, torch.float32, eager=True), GREEDY)
    found = talk(on_gpu, TickerOptions(3, torch.float32), GREEDY)
    assert found[0] == wanted[0]
    np.testing.assert_allclose(found[1], wanted[1], rtol=0, atol=1e-2)


def test_a_gpu_captures_unless_it_is_told_not_to(on_gpu: Models) -> None:
    for eager in (False, True):
        ticker = Ticker(on_gpu, TickerOptions(1, torch.float32, eager=eager))
        ticker.warm_up()
        assert ticker._step.is_captured is not eager


@pytest.mark.parametrize("device", ["cuda", pytest.param("cuda:1", marks=A_SECOND)])
async def test_the_engine_starts_and_answers_on_the_gpu_that_is_named(device: str) -> None:
    engine = load_engine("personaplex", {"engine_checkpoint": "tiny", "engine_device": device, "engine_slots": "3"})
    await engine.start()
    try:
        session = await engine.open(RolePrompt("You are Dana.", "NATF0", CARD, GREEDY, seed=1))
        await session.ready()
        session.push(np.zeros(FRAME_SAMPLES, np.float32))
        assert (await anext(aiter(session.frames()))).audio.shape == (FRAME_SAMPLES,)
    finally:
        await engine.close()


async def test_more_slots_than_memory_is_refused_with_the_arithmetic() -> None:
    engine = load_engine(
        "personaplex", {"engine_checkpoint": "tiny", "engine_device": "cuda", "engine_slots": "1000000"}
    )
    with pytest.raises(EngineUnavailable, match=r"1000000 slots do not fit on cuda.*GiB free"):
        await engine.start()


async def test_a_gpu_that_is_not_there_is_refused() -> None:
    engine = load_engine("personaplex", {"engine_checkpoint": "tiny", "engine_device": "cuda:99"})
    with pytest.raises(EngineUnavailable, match="'cuda:99'"):
        await engine.start()
