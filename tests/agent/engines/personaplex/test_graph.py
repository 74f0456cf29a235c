"""The tick over buffers that stay: the same as the tick, at a few reaches, and without a word to the host.

That the graphs themselves are right is shown on a GPU, by test_gpu.
"""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from agent.duplex import FRAME_SAMPLES
from agent.engines.personaplex.config import SHAPES
from agent.engines.personaplex.errors import CheckpointError
from agent.engines.personaplex.graph import MOST_REACHES, Step, bucket, reaches
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.model.layers import settle
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.random_models import random_models
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import NARROW
from agent.engines.personaplex.step import reach_of, tick

CPU, META = torch.device("cpu"), torch.device("meta")
LM_CONFIG, MIMI_CONFIG = SHAPES["tiny"]


@given(capacity=st.integers(2, 6_000), steps=st.integers(0, 20_000))
def test_every_tick_has_a_reach_that_was_captured(capacity: int, steps: int) -> None:
    captured = reaches(capacity)
    assert captured == sorted(set(captured))
    assert len(captured) <= MOST_REACHES
    assert captured[-1] == capacity
    reach = reach_of(steps, capacity, bucket(capacity))
    assert reach in captured
    assert reach >= min(steps + 1, capacity)
    assert reach == captured[0] or max(r for r in captured if r < reach) < min(steps + 1, capacity)


def test_a_step_over_buffers_that_stay_is_the_tick() -> None:
    lm, mimi = random_models("tiny", CPU, torch.float32)
    one, other = (EngineState.empty(3, LM_CONFIG, mimi, device=CPU, dtype=torch.float32, history=8) for _ in range(2))
    step = Step(lm, mimi, one)
    generator = torch.Generator().manual_seed(5)
    addresses = set()
    for n in range(140):  # past the first reach
        samples = torch.randn(3, FRAME_SAMPLES, generator=generator) * 0.1
        live = torch.tensor([True, n % 2 == 0, n > 20])
        reach = reach_of(n, LM_CONFIG.context, bucket(LM_CONFIG.context))
        found = step.run(samples, live, reach)
        wanted = tick(lm, mimi, other, samples, live, reach)
        assert torch.equal(found.tokens[live], wanted.tokens[live])
        assert torch.equal(found.samples[live], wanted.samples[live])
        addresses.add((found.tokens.data_ptr(), found.samples.data_ptr()))
    assert len(addresses) == 1
    assert all(torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True))


class OffDevice(TorchDispatchMode):
    """Notes every operation that a CUDA graph could not hold: one that takes or makes a tensor of the host's."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.seen += 1
        tensors = [leaf for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type == "cpu" for tensor in tensors):
            self.found.append(str(func))
        return made


def abstract(model: torch.nn.Module, dtype: torch.dtype) -> None:
    model.to(dtype)
    settle(model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, NARROW])
@torch.no_grad()
def test_a_tick_exchanges_nothing_with_the_host(dtype: torch.dtype) -> None:
    """Run on the device "meta", which has shapes and no values: what would ask for one fails."""
    with META:
        lm, mimi = PersonaPlexLM(LM_CONFIG), Mimi(MIMI_CONFIG)
    abstract(lm, torch.bfloat16)
    abstract(mimi, torch.float32)
    state = EngineState.empty(9, LM_CONFIG, mimi, device=META, dtype=dtype, history=16)
    step = Step(lm, mimi, state)
    step._compute(128)  # what is kept from the first tick on may come from the host
    with OffDevice() as watch:
        step._compute(256)
    assert watch.found == []
    assert watch.seen > 1_000


def test_the_watch_sees_what_a_graph_could_not_hold() -> None:
    values = torch.zeros(3, device=META)
    for what in (
        lambda: torch.tensor([1.0, 2.0, 3.0]).to(META),
        lambda: values.copy_(torch.ones(3)),
    ):
        with OffDevice() as watch:
            what()
        assert watch.found


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU captures: see test_gpu")
def test_where_nothing_can_be_captured_the_operator_is_told() -> None:
    lm, mimi = random_models("tiny", CPU, torch.float32)
    step = Step(lm, mimi, EngineState.empty(1, LM_CONFIG, mimi, device=CPU, dtype=torch.float32))
    with pytest.raises(CheckpointError, match=r"can't be captured.*PARLEY_ENGINE_EAGER=true"):
        step.capture([64])
    assert step.captured == []
