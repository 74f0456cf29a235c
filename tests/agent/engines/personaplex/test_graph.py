"""The tick over buffers that stay is the tick, and where it can't be captured the operator is told.

What a captured tick launches is seen in test_kernels, that it can be done again in test_pretended, and that CUDA
does it right in test_gpu.
"""

import pytest
import torch

from agent.duplex import FRAME_SAMPLES
from agent.engines.personaplex import graph
from agent.engines.personaplex.config import SHAPES
from agent.engines.personaplex.errors import CheckpointError
from agent.engines.personaplex.graph import Step, check_kernels
from agent.engines.personaplex.random_models import random_models
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import NARROW
from agent.engines.personaplex.step import reach_of, tick

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
LM_CONFIG, _ = SHAPES["tiny"]


def test_a_step_over_buffers_that_stay_is_the_tick() -> None:
    lm, mimi = random_models("tiny", CPU, torch.float32)
    one, other = (EngineState.empty(3, LM_CONFIG, mimi, device=CPU, dtype=torch.float32, history=8) for _ in range(2))
    step = Step(lm, mimi, one)
    generator = torch.Generator().manual_seed(5)
    addresses = set()
    for n in range(40):
        samples = torch.randn(3, FRAME_SAMPLES, generator=generator) * 0.1
        live = torch.tensor([True, n % 2 == 0, n > 20])
        reach = reach_of(n, LM_CONFIG.context, 16)
        found = step.run(samples, live, reach)
        wanted = tick(lm, mimi, other, samples, live, reach)
        assert torch.equal(found.tokens[live], wanted.tokens[live])
        assert torch.equal(found.samples[live], wanted.samples[live])
        addresses.add((found.tokens.data_ptr(), found.samples.data_ptr()))
    assert len(addresses) == 1
    assert all(torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU captures: see test_gpu")
def test_where_nothing_can_be_captured_the_operator_is_told() -> None:
    lm, mimi = random_models("tiny", CPU, torch.float32)
    step = Step(lm, mimi, EngineState.empty(1, LM_CONFIG, mimi, device=CPU, dtype=torch.float32))
    with pytest.raises(CheckpointError, match=r"can't be captured.*PARLEY_ENGINE_EAGER=true"):
        step.capture(64)
    step.run(torch.zeros(1, FRAME_SAMPLES), torch.ones(1, dtype=torch.bool), 64)


def test_triton_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"Triton, which is not installed.*PARLEY_ENGINE_EAGER=true"):
        check_kernels(CUDA, torch.bfloat16)


def test_8_bits_want_a_gpu_that_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    check_kernels(CUDA, torch.bfloat16)
    with pytest.raises(CheckpointError, match=r"compute capability 8\.9 or newer.*is 8\.6: leave PARLEY_ENGINE_KV"):
        check_kernels(CUDA, NARROW)
