"""The kernels compute what torch's operations do: on a GPU, or in Triton's interpreter; and they compile for GPUs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from agent.engines.personaplex.config import SHAPES
from agent.engines.personaplex.graph import Step
from agent.engines.personaplex.model.layers import RMSNorm, rotate, rotation
from agent.engines.personaplex.model.temporal import attend
from agent.engines.personaplex.random_models import random_models
from agent.engines.personaplex.sampler import MOST_TOP_K, SamplingRows, strongest
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import NARROW, NARROW_MOST, KVRing, visible
from agent.engines.personaplex.step import tick

pytest.importorskip("triton", reason="Triton is not installed; `make torch` installs it")

from agent.engines.personaplex import kernels
from tests.agent.engines.personaplex.published import KERNELS, Launches, published

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ROOT = Path(__file__).parents[4]
HEADS, WIDTH, CAPACITY = 3, 20, 300
NEAR = {torch.float32: 1e-5, torch.bfloat16: 2**-6}
"""How far off a result may be, of what is about as large: the interpreter cuts off what a GPU rounds."""


@pytest.fixture
def random() -> Callable[..., torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return lambda *shape: torch.randn(shape, generator=generator).to(DEVICE)


def near(found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> None:
    torch.testing.assert_close(found.float(), wanted.float(), rtol=NEAR[dtype], atol=NEAR[dtype] / 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_norms_and_gates(random: Any, dtype: torch.dtype) -> None:
    norm = RMSNorm(96).to(DEVICE, dtype)
    norm.alpha.copy_(random(1, 1, 96))
    x, both = random(3, 2, 96).to(dtype), random(3, 2, 2 * 1100).to(dtype)
    near(kernels.rms_norm(x, norm.alpha, norm.eps), norm(x), dtype)
    more = random(3, 2, 96).to(dtype)
    for found, wanted in zip(kernels.added_norm(x, more, norm.alpha, norm.eps), norm.added(x, more), strict=True):
        near(found, wanted, dtype)
    gates, values = both.chunk(2, dim=-1)
    near(kernels.gate(both), F.silu(gates) * values, dtype)


STEPS = ([0, 5, 100], [CAPACITY - 2, CAPACITY - 1, CAPACITY], [2 * CAPACITY + 40, 150, 1])
"""Rings that are nearly empty, about to be full, and wrapped."""


@pytest.mark.parametrize("first", STEPS)
@pytest.mark.parametrize("together", [1, 2])
@pytest.mark.parametrize("kept", [torch.float32, torch.bfloat16, NARROW])
def test_rings_are_written_and_read(random: Any, kept: torch.dtype, together: int, first: list[int]) -> None:
    dtype = torch.bfloat16 if kept == NARROW else kept
    one, other = (KVRing.empty(3, HEADS, CAPACITY, WIDTH, DEVICE, kept) for _ in range(2))
    for mine, theirs in zip(one.parts, other.parts, strict=True):
        mine.copy_(random(*mine.shape).abs())
        theirs.copy_(mine)
    steps = torch.tensor(first, device=DEVICE)[:, None] + torch.arange(together, device=DEVICE)
    turn = rotation(steps, WIDTH, 10_000.0)
    split = random(3, together, 3 * HEADS * WIDTH).to(dtype)
    if kept == NARROW:  # the interpreter does not carry what it rounds up: only what needs no rounding can be compared
        split = (split * 100).to(NARROW).to(dtype) / 256
        split.view(-1, WIDTH)[:, 5] = NARROW_MOST / 256
        turn = torch.ones_like(turn)

    parts = split.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    q, k = rotate(parts[:2], turn)
    one.write(k, parts[2], steps)
    queries = kernels.keep(split, turn, other, steps)
    near(queries.transpose(1, 2), q, dtype)
    for found, wanted in zip(*(ring.read(slice(0, 3), CAPACITY, torch.float32) for ring in (other, one)), strict=True):
        near(found, wanted, dtype)

    for mine, theirs in zip(one.parts, other.parts, strict=True):
        theirs.copy_(mine)  # what differed in rounding is not attention's
    mask = visible(steps, CAPACITY, CAPACITY, written_together=True)[:, None]
    wanted = attend(q.float(), *one.read(slice(0, 3), CAPACITY, torch.float32), mask)
    held = (steps[:, -1] + 1).clamp(max=CAPACITY)
    found = kernels.attend(q.transpose(1, 2).contiguous(), other, steps, held)
    near(found, wanted.transpose(1, 2).flatten(2), dtype)
    held[1] = 0
    found = kernels.attend(q.transpose(1, 2).contiguous(), other, steps, held)
    assert not found[1].any()
    near(found[2], wanted.transpose(1, 2).flatten(2)[2], dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_codebooks_see_those_before_them(random: Any, dtype: torch.dtype) -> None:
    one = random(3, 2, HEADS, 8, WIDTH).to(dtype)
    other = one.clone()
    for k in (0, 3, 7):
        split = random(3, 3 * HEADS * WIDTH).to(dtype)
        q, key_value = split.unflatten(-1, (3, HEADS, -1)).split((1, 2), dim=1)
        one[:, :, :, k] = key_value
        keys, values = one[:, :, :, : k + 1].unbind(1)
        wanted = F.scaled_dot_product_attention(q.transpose(1, 2), keys, values).flatten(1)
        near(kernels.attend_depth(split, other, k), wanted, dtype)
        assert torch.equal(one, other)


def test_draws_are_the_same(random: Any) -> None:
    rows = SamplingRows.greedy(5, DEVICE)
    rows.audio_temperature.copy_(torch.tensor([0, 0.8, 1.0, 0.5, 2.0]))
    rows.audio_top_k.copy_(torch.tensor([5, 250, 10, 1, 30]))
    rows.seed.copy_(torch.tensor([1, 2**63 - 1, 3, 4, 5]))
    for step in range(40):
        rows.drawn.fill_(step)
        logits = random(5, 512)
        values, tokens = strongest(logits, MOST_TOP_K)
        settings = (rows.audio_temperature, rows.audio_top_k, rows.seed, rows.drawn)
        found = kernels.draw(values, tokens, *settings, stream=3)
        assert found.tolist() == rows.draw(3, logits).tolist()


def test_a_fused_tick_is_the_tick() -> None:
    config = SHAPES["tiny"][0]
    plain, fused = (random_models("tiny", DEVICE, torch.float32, fused=is_fused) for is_fused in (False, True))
    states = [EngineState.empty(3, config, plain[1], device=DEVICE, dtype=torch.float32, history=8) for _ in range(2)]
    generator = torch.Generator().manual_seed(5)
    rings = [torch.randn(part.shape, generator=generator) for ring in states[0].rings for part in ring.parts]
    for state in states:
        state.window.offset.copy_(torch.tensor([1, 500, config.context - 2]))
        state.sampling.audio_temperature[1], state.sampling.audio_top_k[1] = 0.8, 50
        for part, filled in zip((part for ring in state.rings for part in ring.parts), rings, strict=True):
            part.copy_(filled)
    for n in range(3):  # a slot that pauses leaves what its next step overwrites
        samples = (0.1 * torch.randn(3, 1920, generator=generator)).to(DEVICE)
        live = torch.tensor([True, n % 2 == 0, True], device=DEVICE)
        wanted = tick(*plain, states[0], samples, live, config.context)
        found = tick(*fused, states[1], samples, live, config.context)
        assert torch.equal(found.tokens[live], wanted.tokens[live])
        near(found.samples[live], wanted.samples[live], torch.float32)
    for found, wanted in zip(states[1].tensors(), states[0].tensors(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


# The published model, without values: what is launched, and whether it compiles


NO_WORK = {"view", "t", "transpose", "permute", "unsqueeze", "squeeze", "expand", "slice", "select", "split", "unbind"}
NO_WORK |= {"split_with_sizes", "view_as_real", "view_as_complex", "_unsafe_view", "as_strided", "detach", "alias"}
NO_WORK |= {"empty", "empty_like", "new_empty", "empty_strided", "unflatten", "chunk"}
"""Torch's operations that only look at what there is, or set memory apart."""


class Operations(TorchDispatchMode):
    """Counts torch's operations that compute something, and notes those that a CUDA graph could not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.with_host: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.count += func.overloadpacket.__name__ not in NO_WORK
        tensors = [leaf for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type == "cpu" for tensor in tensors):
            self.with_host.append(str(func))
        return made


def test_the_watch_sees_what_a_graph_could_not_hold() -> None:
    values = torch.zeros(3, device="meta")
    for what in (lambda: torch.tensor([1.0, 2.0, 3.0]).to("meta"), lambda: values.copy_(torch.ones(3))):
        with Operations() as seen:
            what()
        assert seen.with_host


def operations(step: Step) -> Operations:
    step._compute(SHAPES["published"][0].context)  # what is kept from the first tick on may come from the host
    with Operations() as seen:
        step._compute(SHAPES["published"][0].context)
    return seen


@pytest.mark.parametrize(("slots", "kept"), [(1, torch.bfloat16), (40, torch.bfloat16), (80, NARROW)])
@torch.no_grad()
def test_a_fused_tick_is_a_third_of_the_operations_and_none_with_the_host(
    monkeypatch: pytest.MonkeyPatch, slots: int, kept: torch.dtype
) -> None:
    watched = [Launches(getattr(kernels, name)) for name in KERNELS]
    for name, launches in zip(KERNELS, watched, strict=True):
        monkeypatch.setattr(kernels, name, launches)
    plain, fused = (operations(published(slots, kept, fused=is_fused)) for is_fused in (False, True))
    launched = sum(len(launches.noted) for launches in watched) / 2
    assert launched > 300
    assert 3 * (fused.count + launched) < plain.count
    assert fused.with_host == []


def test_the_published_models_kernels_compile_from_ampere_to_blackwell(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.agent.engines.personaplex.published", "80", "89", "90", "100"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment | {"TRITON_CACHE_DIR": str(tmp_path)}, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["80", "89", "90", "100"]
    counts = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert counts[0] >= 12
    assert counts[1] == counts[2] == counts[3] == counts[0] + 2  # writing and reading 8 bits
