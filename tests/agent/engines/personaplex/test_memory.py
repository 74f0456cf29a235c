"""How many calls fit, with the arithmetic in the refusal; keys and values in 8 bits, and how far off they are."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from agent.duplex import EngineUnavailable, load_engine
from agent.engines.personaplex.checkpoint import Models, load_models
from agent.engines.personaplex.config import SHAPES
from agent.engines.personaplex.errors import CheckpointError
from agent.engines.personaplex.memory import GIB, free_bytes, reserved_bytes, slot_bytes, slots_that_fit
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.prefill import Prefill, RingImage
from agent.engines.personaplex.prompt import Voice, prompt_steps
from agent.engines.personaplex.slots import EngineState, empty_rings, ring_bytes
from agent.engines.personaplex.state import NARROW, KVRing, visible
from agent.engines.personaplex.step import advance
from agent.engines.personaplex.weights import load_mimi

CPU = torch.device("cpu")
MODELS = load_models("tiny", "", CPU, torch.float32)
CONFIG = MODELS.lm.config
PUBLISHED = SHAPES["published"][0]


def on(device: str) -> Models:
    return Models(MODELS.lm, MODELS.mimi, MODELS.text, MODELS.voices, torch.device(device), is_random=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, NARROW])
def test_the_arithmetic_counts_what_is_allocated(dtype: torch.dtype) -> None:
    state = EngineState.empty(1, CONFIG, MODELS.mimi, device=CPU, dtype=dtype)
    rings = sum(part.numel() * part.element_size() for ring in state.rings for part in ring.parts)
    assert rings == ring_bytes(CONFIG, dtype)
    rest = state.byte_count() - slot_bytes(MODELS, dtype)
    assert 0 <= rest < 10_000  # the token window and the sampling


def test_the_published_model_takes_what_was_published() -> None:
    assert ring_bytes(PUBLISHED, torch.bfloat16) / GIB == pytest.approx(1.5, abs=0.04)
    assert ring_bytes(PUBLISHED, NARROW) / ring_bytes(PUBLISHED, torch.bfloat16) < 0.51


@pytest.mark.parametrize("dtype", [torch.bfloat16, NARROW])
@pytest.mark.parametrize("spare", [False, True])
def test_as_many_slots_as_fit_and_not_one_more(dtype: torch.dtype, spare: bool) -> None:
    gpu = on("cuda")
    free = reserved_bytes(gpu, dtype, spare=spare) + 7 * slot_bytes(gpu, dtype) + 1
    assert slots_that_fit(gpu, 0, dtype, spare=spare, free=free) == 7
    assert slots_that_fit(gpu, 3, dtype, spare=spare, free=free) == 3
    assert slots_that_fit(gpu, 7, dtype, spare=spare, free=free) == 7
    with pytest.raises(
        CheckpointError, match=r"^8 slots do not fit on cuda: \(.* GiB free - .*\) / .* a call = 7;.*\.$"
    ):
        slots_that_fit(gpu, 8, dtype, spare=spare, free=free)
    with pytest.raises(CheckpointError, match="= 0; lower --slots"):
        slots_that_fit(gpu, 0, dtype, spare=spare, free=1000)


def test_a_cpu_takes_four_slots_unless_told_otherwise() -> None:
    assert slots_that_fit(MODELS, 0, torch.float32, spare=True, free=64 * GIB) == 4
    assert slots_that_fit(MODELS, 9, torch.float32, spare=True, free=64 * GIB) == 9
    assert slots_that_fit(MODELS, 9, torch.float32, spare=True, free=None) == 9
    free = free_bytes(CPU)
    assert free is None or free > 1_000_000


def test_weights_that_do_not_fit_are_told_before_they_are_read(tmp_path: Path, monkeypatch) -> None:
    with torch.device("meta"):
        stored = Mimi(SHAPES["tiny"][1]).state_dict()
    save_file({name: torch.zeros(tensor.shape) for name, tensor in stored.items()}, tmp_path / "mimi.safetensors")
    monkeypatch.setattr("agent.engines.personaplex.memory.free_bytes", lambda device: 30_000)
    sentence = r"^The weights take 0\.0 GiB, and cpu has 0\.0 GiB free: take a device with more memory\.$"
    with pytest.raises(CheckpointError, match=sentence):
        load_mimi(tmp_path / "mimi.safetensors", SHAPES["tiny"][1], CPU)
    with pytest.raises(CheckpointError, match=sentence):
        load_models("tiny", "", CPU, torch.float32)
    monkeypatch.setattr("agent.engines.personaplex.memory.free_bytes", lambda device: 15 * GIB)
    with pytest.raises(CheckpointError, match=r"take 2\d\.\d GiB, and cpu has 15\.0 GiB"):
        load_models("published", "", CPU, torch.float32)


async def test_an_engine_with_more_slots_than_memory_does_not_start() -> None:
    wanted = 10 * (free_bytes(CPU) or 0) // slot_bytes(MODELS, torch.float32)
    if not wanted:
        pytest.skip("this system does not say how much memory is free")  # pragma: no cover
    engine = load_engine(
        "personaplex", {"engine_checkpoint": "tiny", "engine_device": "cpu", "engine_slots": f"{wanted}"}
    )
    with pytest.raises(EngineUnavailable, match=f"^{wanted} slots do not fit on cpu: .* GiB free .* = "):
        await engine.start()


def test_a_wrong_precision_is_named() -> None:
    with pytest.raises(EngineUnavailable, match="PARLEY_ENGINE_KV must be fp8"):
        load_engine("personaplex", {"engine_checkpoint": "tiny", "engine_kv": "int4"})


# 8 bits


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 3e4])
def test_a_component_is_off_by_a_sixteenth_of_itself_or_next_to_nothing(magnitude: float) -> None:
    generator = torch.Generator().manual_seed(1)
    k, v = (magnitude * torch.randn(2, 4, 5, 64, generator=generator) for _ in range(2))
    v[0, 0, 0] = 0
    ring = KVRing.empty(2, 4, 9, 64, CPU, NARROW)
    ring.write(k, v, torch.arange(3, 8).expand(2, 5))
    for found, wanted in zip(ring.read(slice(0, 2), 9, torch.float32), (k, v), strict=True):
        largest = wanted.abs().amax(-1, keepdim=True)
        off = (found[:, :, 3:8] - wanted).abs()
        assert (off <= wanted.abs() / 16 * 1.01 + largest / 448 / 1024 * 1.01).all()
        assert not found[:, :, :3].any()


def test_attention_over_8_bits_is_near_attention() -> None:
    generator = torch.Generator().manual_seed(2)
    q, k, v = (torch.randn(3, 4, n, 64, generator=generator) for n in (1, 200, 200))
    ring = KVRing.empty(3, 4, 256, 64, CPU, NARROW)
    ring.write(k, v, torch.arange(200).expand(3, 200))
    mask = visible(torch.full((3, 1), 199), 256, 256)[:, None]
    found = F.scaled_dot_product_attention(q, *ring.read(slice(0, 3), 256, torch.float32), attn_mask=mask)
    wanted = F.scaled_dot_product_attention(q, k, v)
    assert (found - wanted).norm() / wanted.norm() < 0.06


def test_a_call_in_8_bits_is_near_the_call_and_its_own_in_any_batch() -> None:
    """More slots than are widened at once, and a prompt copied from what was kept."""
    codes = torch.randint(0, 2048, (70, 8), generator=torch.Generator().manual_seed(3))
    steps = prompt_steps(Voice("v", codes=codes), [5, 6, 7], CONFIG.text_initial, CPU)
    rows = {}
    for dtype, slots in ((torch.float32, 1), (NARROW, 1), (NARROW, 19)):
        state = EngineState.empty(slots, CONFIG, MODELS.mimi, device=CPU, dtype=dtype)
        prefill = Prefill(MODELS.lm, state.rings, 0, steps)
        while not prefill.done:
            prefill.advance()
        image = RingImage.take(state.rings, 0, steps.steps)
        for slot in range(slots):
            image.put(state.rings, slot)
            state.window.copy_row(slot, steps.window, 0)
        logits: list[torch.Tensor] = []
        live = torch.ones(slots, dtype=torch.bool)
        advance(MODELS.lm, state, codes[:1].expand(slots, -1), live, 128, lambda _, x, into=logits: into.append(x))
        rows[dtype, slots] = logits[0]
    exact, narrow, batch = rows.values()
    assert 0 < (narrow - exact).norm() / exact.norm() < 0.1
    torch.testing.assert_close(batch, narrow.expand(19, -1), rtol=0, atol=1e-3)


def test_a_spare_ring_in_8_bits_holds_its_scales() -> None:
    ring = empty_rings(1, CONFIG, CPU, NARROW)[0]
    assert [part.shape[:3] for part in ring.parts] == [(1, CONFIG.num_heads, CONFIG.context)] * 3
    assert ring.rows(slice(0, 1)).scales is not None
