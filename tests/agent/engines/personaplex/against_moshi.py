"""Compares the engine with Kyutai's published package, at the published model's widths, with random weights.

    pip install --no-deps moshi==0.2.13 einops        beside `make torch`: the package asks for an older torch
    python -m tests.agent.engines.personaplex.against_moshi

The weights go through files with the published names. Of 32 like layers two are compared: 12 GB of memory hold that.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from moshi.models import loaders
from safetensors.torch import save_file

from agent.engines.personaplex.config import CODEBOOKS, SHAPES, STREAMS, LMConfig
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.slots import empty_rings
from agent.engines.personaplex.weights import _is_unheard, load_lm, load_mimi

CPU = torch.device("cpu")
LAYERS, FRAMES = 2, 12
RENAMED = re.compile(r"(.*self_attn\.)(in|out)_projs\.(\d+)\.weight")


def published_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Undo what the package renamed after the checkpoints were published: stacks of projections were one tensor."""
    found = {name: tensor for name, tensor in state.items() if not RENAMED.fullmatch(name)}
    stacks: dict[str, list[torch.Tensor]] = {}
    for name in sorted(state, key=lambda name: int((RENAMED.fullmatch(name) or [0] * 4)[3])):
        if match := RENAMED.fullmatch(name):
            stack = match[1] + ("in_proj_weight" if match[2] == "in" else "out_proj.weight")
            stacks.setdefault(stack, []).append(state[name])
    return found | {name: torch.cat(parts) for name, parts in stacks.items()}


def compare_names() -> None:
    """Every tensor of PersonaPlex's checkpoint, its 16 depth steps included, by name and shape."""
    kwargs = loaders._lm_kwargs | {"dep_q": 2 * CODEBOOKS, "depformer_context": 2 * CODEBOOKS}
    theirs = published_names(loaders.get_moshi_lm(None, kwargs, device="meta").state_dict())
    with torch.device("meta"):
        ours = PersonaPlexLM(SHAPES["published"][0]).state_dict()
    unknown = [name for name in theirs if name not in ours and not _is_unheard(name)]
    missing = [name for name in ours if name not in theirs]
    off = [name for name in ours if name in theirs and theirs[name].shape[1:] != ours[name].shape[1:]]
    print(f"names: {len(theirs)}, unknown {len(unknown)}, missing {len(missing)}, of other shapes {len(off)}")


@torch.no_grad()
def randomize(state: Mapping[str, torch.Tensor], generator: torch.Generator) -> None:
    for name, tensor in state.items():
        if name.endswith("_initialized"):
            tensor.fill_(1)
        elif name.endswith("cluster_usage"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif name.endswith(("embedding_sum", ".scale")):
            tensor.normal_(0, 1 if name.endswith("sum") else 0.1, generator=generator)
        elif name.endswith("alpha") or ("norm" in name and name.endswith("weight")):
            tensor.normal_(1, 0.1, generator=generator)
        elif "emb" in name or tensor.dim() < 2:
            tensor.normal_(0, 0.5 if tensor.dim() > 1 else 0.01, generator=generator)
        else:
            tensor.normal_(0, 1.2 / tensor[0].numel() ** 0.5, generator=generator)


def save(state: Mapping[str, torch.Tensor], path: Path) -> Path:
    save_file({name: tensor.contiguous().clone() for name, tensor in published_names(state).items()}, path)
    return path


@torch.no_grad()
def compare_codec(folder: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    made = loaders.get_mimi(None, num_codebooks=CODEBOOKS)
    randomize(made.state_dict(), generator)
    path = save(made.state_dict(), folder / "mimi.safetensors")
    theirs, ours = loaders.get_mimi(str(path), num_codebooks=CODEBOOKS), load_mimi(path, SHAPES["published"][1], CPU)
    encoder, decoder, live = ours.encoder_state(1), ours.decoder_state(1), torch.ones(1, dtype=torch.bool)
    equal, off = 0, 0.0
    with theirs.streaming(1):
        for frame in 0.2 * torch.randn(FRAMES, 1, 1920, generator=generator):
            codes = theirs.encode(frame[None])
            equal += int((ours.encode(frame, encoder, live) == codes[:, :, 0]).sum())
            wanted, found = theirs.decode(codes)[:, 0], ours.decode(codes[:, :, 0], decoder, live)
            off = max(off, float((found - wanted).abs().max() / wanted.abs().max()))
    print(f"codec, published size: {equal} of {FRAMES * CODEBOOKS} codes equal, sound off by {off:.1e} of its peak")


@torch.no_grad()
def compare_model(folder: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    columns = torch.randint(0, 2048, (FRAMES, 1, STREAMS, 1), generator=generator)
    columns[0, 0, 3:6] = -1
    made = loaders.get_moshi_lm(None, loaders._lm_kwargs | {"num_layers": LAYERS}, device="cpu", dtype=torch.float32)
    randomize(made.state_dict(), generator)
    wanted = []
    with made.streaming(1):
        for column in columns:
            heard, text = made.forward_text(column)
            logits = [text.flatten()]
            with made.depformer.streaming(1):
                for k in range(CODEBOOKS):
                    drawn = logits[-1].argmax().view(1, 1, 1)
                    logits.append(made.forward_depformer(k, drawn, heard).flatten())
            wanted.append(logits)
    path = save(made.state_dict(), folder / "model.safetensors")
    del made
    config = LMConfig(num_layers=LAYERS)
    lm, live = load_lm(path, config, CPU, torch.float32), torch.ones(1, dtype=torch.bool)
    rings = empty_rings(1, config, CPU, torch.float32)
    equal, off = 0, 0.0
    for step, (column, logits) in enumerate(zip(columns, wanted, strict=True)):
        state = lm.temporal(lm.embed(column), rings, torch.tensor([step]), live, config.context)[:, -1]
        found = [lm.text_logits(state)[0]]

        def choose(_stream: int, x: torch.Tensor, found: list[torch.Tensor] = found) -> torch.Tensor:
            found.append(x[0])
            return x.argmax(-1)

        lm.speak(state, found[0].argmax()[None], choose)
        equal += sum(int(a.argmax() == b.argmax()) for a, b in zip(found, logits, strict=True))
        off = max(off, *(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, logits, strict=True)))
    count = FRAMES * (1 + CODEBOOKS)
    print(f"model, published widths, {LAYERS} layers: {equal} of {count} tokens equal, logits off by {off:.1e}")


def main() -> None:
    compare_names()
    with tempfile.TemporaryDirectory() as folder:
        compare_codec(Path(folder))
        compare_model(Path(folder))


if __name__ == "__main__":
    main()
