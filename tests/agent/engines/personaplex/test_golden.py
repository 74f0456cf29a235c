"""The reference's outputs, number by number: each case is built from its own config through the loader.

Every case runs on the CPU and, with kernels, on a GPU; without one ours run in Triton's interpreter for some frames.

``PARLEY_GOLDEN_DIR`` names another folder of cases. How weights follow from a name and a seed: ``_weights``.
"""

import json
import math
import os
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from agent.engines.personaplex.config import AUDIO_CARD, CODEBOOKS, LMConfig, MimiConfig, gated_width
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.prefill import Prefill
from agent.engines.personaplex.prompt import PromptSteps, Voice, prompt_steps
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.step import advance, reach_of
from agent.engines.personaplex.weights import load_lm, load_mimi

FOLDER = Path(os.environ.get("PARLEY_GOLDEN_DIR") or Path(__file__).parent / "golden")
LM_CASES = sorted(FOLDER.glob("lm_*.npz"))
MIMI_CASES = sorted(FOLDER.glob("mimi*.npz"))
CPU, GPU = torch.device("cpu"), torch.device("cuda")
TOLERANCE = 1e-3
CODEC = MimiConfig(dimension=16, n_filters=4, codebook_dim=4, num_heads=2, num_layers=1, dim_feedforward=8)
"""EngineState has a codec's state too; the cases of the language model need none."""

ALL, FIRST = 10_000, 4
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
WAYS = [
    pytest.param(CPU, False, ALL, id="cpu"),
    pytest.param(GPU, True, ALL, id="cuda", marks=[pytest.mark.gpu, NO_GPU]),
]
"""Device, whether with kernels, how many frames."""

INTERPRETED = []
if find_spec("triton") and not torch.cuda.is_available() and "PARLEY_GOLDEN_DIR" not in os.environ:
    INTERPRETED.append(pytest.param(CPU, True, FIRST, id="interpreted"))  # some thousand times as slow as compiled


def test_there_are_cases() -> None:
    assert LM_CASES, f"no lm_*.npz in {FOLDER}"
    assert MIMI_CASES, f"no mimi*.npz in {FOLDER}"


# Weights


def _normal(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    random = np.random.RandomState((zlib.crc32(name.encode()) ^ seed) & 0xFFFFFFFF)
    return random.standard_normal(math.prod(shape)).astype(np.float32).reshape(shape)


def _lm_weight(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    x = _normal(name, shape, seed)
    if name.endswith("alpha") or "norm" in name.split(".")[-2]:
        return 1 + 0.1 * x
    if len(shape) >= 2 and "emb" not in name:
        return (x / np.sqrt(shape[-1])).astype(np.float32)
    return 0.5 * x


def _mimi_weight(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    x = _normal(name, shape, seed)
    if name.endswith("cluster_usage"):
        return 1 + abs(x)
    if name.endswith("embedding_sum"):
        return 4 * x
    if name.endswith("_initialized"):
        return np.ones(shape, np.float32)
    if "norm" in name:
        return 1 + 0.1 * x if name.endswith("weight") else 0.1 * x
    if name.endswith("scale"):
        return 0.1 + 0.02 * x
    if len(shape) >= 2:
        return (x * (1.0 if "_proj" in name else 1.6) / np.sqrt(math.prod(shape[1:]))).astype(np.float32)
    return 0.01 * x


def _published_lm_shapes(c: LMConfig) -> dict[str, tuple[int, ...]]:
    """Every name and shape of the published checkpoint, its 16 depth steps included."""
    steps, width = 2 * CODEBOOKS, c.depformer_dim
    hidden, depth_hidden = gated_width(c.dim, c.hidden_scale), gated_width(width, c.hidden_scale)
    shapes: dict[str, tuple[int, ...]] = {f"emb.{k}.weight": (AUDIO_CARD + 1, c.dim) for k in range(steps)}
    shapes |= {"text_emb.weight": (c.text_card + 1, c.dim), "text_linear.weight": (c.text_card, c.dim)}
    shapes |= {"out_norm.alpha": (1, 1, c.dim), "depformer_text_emb.weight": (c.text_card + 1, width)}
    for i in range(c.num_layers):
        layer = f"transformer.layers.{i}"
        shapes |= {f"{layer}.norm{n}.alpha": (1, 1, c.dim) for n in (1, 2)}
        shapes[f"{layer}.self_attn.in_proj_weight"] = (3 * c.dim, c.dim)
        shapes[f"{layer}.self_attn.out_proj.weight"] = (c.dim, c.dim)
        shapes[f"{layer}.gating.linear_in.weight"] = (2 * hidden, c.dim)
        shapes[f"{layer}.gating.linear_out.weight"] = (c.dim, hidden)
    for i in range(c.depformer_num_layers):
        layer = f"depformer.layers.{i}"
        shapes |= {f"{layer}.norm{n}.alpha": (1, 1, width) for n in (1, 2)}
        shapes[f"{layer}.self_attn.in_proj_weight"] = (steps * 3 * width, width)
        shapes[f"{layer}.self_attn.out_proj.weight"] = (steps * width, width)
        for k in range(steps):
            shapes[f"{layer}.gating.{k}.linear_in.weight"] = (2 * depth_hidden, width)
            shapes[f"{layer}.gating.{k}.linear_out.weight"] = (width, depth_hidden)
    for k in range(steps):
        shapes[f"depformer_in.{k}.weight"] = (width, c.dim)
        shapes[f"linears.{k}.weight"] = (AUDIO_CARD, width)
    return shapes | {f"depformer_emb.{k}.weight": (AUDIO_CARD + 1, width) for k in range(steps - 1)}


def _published_mimi_shapes(c: MimiConfig) -> dict[str, tuple[int, ...]]:
    """Every name and shape of the published codec, all of its codebooks included."""
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in Mimi(c).state_dict().items()}
    for k in range(c.n_q - 1):
        codebook = f"quantizer.rvq_rest.vq.layers.{k}._codebook"
        shapes[f"{codebook}.embedding_sum"] = (c.codebook_size, c.codebook_dim)
        shapes[f"{codebook}.cluster_usage"] = (c.codebook_size,)
    books = [name.removesuffix("embedding_sum") for name in shapes if name.endswith("embedding_sum")]
    return shapes | {f"{book}_initialized": (1,) for book in books}


# The language model


def _load_case(
    path: Path, folder: Path, device: torch.device, fused: bool
) -> tuple[PersonaPlexLM, PromptSteps, dict[str, np.ndarray]]:
    case = dict(np.load(path))
    config = json.loads(str(case["config"]))
    seed, pause = config.pop("seed"), config.pop("silence_frames")
    assert pause == 6
    lm_config = LMConfig(**config)
    shapes = _published_lm_shapes(lm_config)
    weights = {name: torch.from_numpy(_lm_weight(name, shape, seed)) for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
    lm = load_lm(folder / "model.safetensors", lm_config, device, torch.float32, fused=fused)
    if "voice_embeddings" in case:
        embeddings = torch.from_numpy(case["voice_embeddings"])[:, 0, 0].to(device)
        voice = Voice("golden", embeddings=embeddings, cache=torch.from_numpy(case["voice_cache"])[0].to(device))
    else:
        voice = Voice("golden", codes=torch.from_numpy(case["voice_codes"].astype(np.int64)).to(device))
    steps = prompt_steps(voice, case["text_tokens"].tolist(), lm_config.text_initial, device)
    assert steps.steps + 1 == int(case["prompt_offset"])
    return lm, steps, case


class Slot:
    """One slot that runs a case from ``start`` on and compares what it says."""

    def __init__(self, lm: PersonaPlexLM, state: EngineState, row: int, steps: PromptSteps, start: int) -> None:
        self.row, self.start, self.steps, self.state = row, start, steps, state
        self.prefill = Prefill(lm, state.rings, row, steps)
        self.taken = 0

    def prompt(self) -> None:
        """Take the prompt in: some steps a tick, as between the ticks of a live batch."""
        if not self.prefill.done:
            self.prefill.advance(7)
            self.state.window.offset[self.row] = self.prefill.taken + 1
            if self.prefill.done:
                self.state.window.copy_row(self.row, self.steps.window, 0)


def _run(lm: PersonaPlexLM, steps: PromptSteps, case: dict[str, np.ndarray], starts: list[int], most: int) -> None:
    """Run ``most`` frames of the case greedily in one slot a start tick, all in one batch, and compare everything."""
    config, slots, device = lm.config, len(starts), lm.table.device
    state = EngineState.empty(slots, config, Mimi(CODEC).to(device), device=device, dtype=torch.float32)
    runs = [Slot(lm, state, row, steps, start) for row, start in enumerate(starts)]
    codes = torch.from_numpy(case["user_codes"].astype(np.int64))[:most].to(device)
    frames, text_logits, audio_logits = case["tokens"], case["text_logits"], case["audio_logits"]
    logits: list[torch.Tensor] = []
    tick = 0
    while any(run.taken < len(codes) for run in runs):
        now = [run for run in runs if run.prefill.done and run.taken < len(codes)]
        if now:
            live = torch.tensor([run in now for run in runs], device=device)
            heard = torch.stack([codes[min(run.taken, len(codes) - 1)] for run in runs])
            logits.clear()
            steps_taken = max(int(state.window.offset[run.row]) - 1 for run in now)
            reach = reach_of(steps_taken, config.context)
            said = advance(lm, state, heard, live, reach, lambda stream, x: logits.append(x))
            for run in now:
                at = run.taken
                assert said[run.row].tolist() == frames[at].tolist(), f"slot {run.row}, step {at}"
                if at % 6 == 0 and at // 6 < len(text_logits):
                    _near(logits[0][run.row], text_logits[at // 6])
                if at % 12 == 0 and at // 12 < len(audio_logits):
                    _near(torch.stack(logits[1:])[:, run.row], audio_logits[at // 12])
                run.taken += 1
        for run in runs:
            if tick >= run.start:
                run.prompt()
        tick += 1


def _near(found: torch.Tensor, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found.cpu().numpy(), wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("device", "fused", "most"), [*WAYS, *INTERPRETED])
@pytest.mark.parametrize("path", LM_CASES, ids=lambda path: path.stem)
def test_one_slot_says_what_the_reference_says(
    path: Path, device: torch.device, fused: bool, most: int, tmp_path: Path
) -> None:
    _run(*_load_case(path, tmp_path, device, fused), starts=[0], most=most)


@pytest.mark.parametrize(("device", "fused", "most"), WAYS)
@pytest.mark.parametrize("path", LM_CASES, ids=lambda path: path.stem)
def test_slots_of_a_batch_that_start_at_different_ticks_say_it_too(
    path: Path, device: torch.device, fused: bool, most: int, tmp_path: Path
) -> None:
    _run(*_load_case(path, tmp_path, device, fused), starts=[0, 3, 17, 18], most=most)


# The codec


@pytest.mark.parametrize("starts", [[0], [0, 2, 5]], ids=["alone", "staggered"])
@pytest.mark.parametrize(("device", "fused", "most"), [*WAYS, *INTERPRETED])
@pytest.mark.parametrize("path", MIMI_CASES, ids=lambda path: path.stem)
def test_the_codec_hears_and_sounds_like_the_reference(
    path: Path, starts: list[int], device: torch.device, fused: bool, most: int, tmp_path: Path
) -> None:
    case = dict(np.load(path))
    config = json.loads(str(case["config"]))
    seed = config.pop("seed")
    mimi_config = MimiConfig(**config)
    weights = {name: torch.from_numpy(_mimi_weight(name, shape, seed).astype(np.float32))
               for name, shape in _published_mimi_shapes(mimi_config).items()}  # fmt: skip
    save_file(weights, tmp_path / "mimi.safetensors")
    mimi = load_mimi(tmp_path / "mimi.safetensors", mimi_config, device, fused=fused)
    frames = torch.from_numpy(case["wav"].astype(np.float32) / 32768).view(-1, 1920)[:most].to(device)
    wanted = torch.from_numpy(case["codes"].astype(np.int64)).T[:most].to(device)
    sounds = case["pcm"][: 1920 * most]
    slots, count = len(starts), len(frames)
    encoder, decoder = mimi.encoder_state(slots), mimi.decoder_state(slots)
    codes, pcm = [[] for _ in starts], [[] for _ in starts]
    with torch.no_grad():
        for tick in range(count + max(starts)):
            at = [min(max(tick - start, 0), count - 1) for start in starts]
            live = torch.tensor([0 <= tick - start < count for start in starts], device=device)
            heard = mimi.encode(frames[at], encoder, live)
            sound = mimi.decode(wanted[at], decoder, live)
            for row in live.nonzero()[:, 0].tolist():
                codes[row].append(heard[row])
                pcm[row].append(sound[row])
    for row in range(slots):
        assert torch.equal(torch.stack(codes[row]), wanted)
        _near(torch.cat(pcm[row]) / np.abs(sounds).max(), sounds / np.abs(sounds).max())
