"""On a GPU: graphs say what eager ticks say, and CUDA what the CPU says."""

import copy

import numpy as np
import pytest
import torch

from agent.duplex import FRAME_SAMPLES, EngineUnavailable, RoleCard, RolePrompt, Sampling, load_engine
from agent.engines.personaplex.checkpoint import Models, load_models
from agent.engines.personaplex.config import SHAPES
from agent.engines.personaplex.graph import reaches
from agent.engines.personaplex.model.layers import settle
from agent.engines.personaplex.state import NARROW
from agent.engines.personaplex.ticker import Ticker, TickerOptions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

CARD = RoleCard("Dana", "Northwind", "dispatcher", "", "", "", "", "")
GREEDY = Sampling(audio_temperature=0, text_temperature=0)
TICKS = 260  # two captured reaches of the tiny model are passed


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
    return load_models("tiny", "", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def on_gpu(on_cpu: Models) -> Models:
    """The CPU's weights, on the GPU: random numbers of the two differ."""
    torch.backends.cudnn.allow_tf32 = False
    models = load_models("tiny", "", torch.device("cuda"), torch.float32)
    for mine, theirs in ((models.lm, on_cpu.lm), (models.mimi, on_cpu.mimi)):
        dense = {name: t.to_dense() if t.is_mkldnn else t for name, t in theirs.state_dict().items()}
        mine.load_state_dict(copy.deepcopy(dense))
    settle(models.mimi.quantizer)
    return models


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, NARROW])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling()], ids=["greedy", "drawn"])
def test_a_graph_says_what_eager_ticks_say(on_gpu: Models, dtype: torch.dtype, sampling: Sampling) -> None:
    eager = talk(on_gpu, TickerOptions(3, dtype, eager=True), sampling)
    graph = talk(on_gpu, TickerOptions(3, dtype), sampling)
    assert graph[0] == eager[0]
    np.testing.assert_allclose(graph[1], eager[1], rtol=0, atol=1e-4)


def test_cuda_says_what_the_cpu_says(on_cpu: Models, on_gpu: Models) -> None:
    there = talk(on_gpu, TickerOptions(3, torch.float32), GREEDY)
    here = talk(on_cpu, TickerOptions(3, torch.float32), GREEDY)
    assert there[0] == here[0]
    np.testing.assert_allclose(there[1], here[1], rtol=0, atol=1e-2)


def test_every_reach_is_captured_and_no_other_is_run(on_gpu: Models) -> None:
    ticker = Ticker(on_gpu, TickerOptions(1, torch.float32))
    ticker.warm_up()
    step = ticker._step
    assert step.captured == reaches(SHAPES["tiny"][0].context)
    with pytest.raises(ValueError, match="no graph for a reach of 65"):
        step.run(torch.zeros(1, FRAME_SAMPLES), torch.ones(1, dtype=torch.bool), 65)


async def test_more_slots_than_memory_is_refused_with_the_arithmetic() -> None:
    engine = load_engine(
        "personaplex", {"engine_checkpoint": "tiny", "engine_device": "cuda", "engine_slots": "1000000"}
    )
    with pytest.raises(EngineUnavailable, match=r"1000000 slots do not fit on cuda.*GiB free"):
        await engine.start()
