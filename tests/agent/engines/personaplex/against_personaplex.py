"""Compares `parley infer` with NVIDIA's published code: both answer one recording, greedily, in one role and voice.

    git clone https://github.com/NVIDIA/personaplex
    pip install --no-deps einops==0.8.2               beside `make torch`: their package asks for an older torch
    PYTHONPATH=personaplex/moshi python -m tests.agent.engines.personaplex.against_personaplex

Weights are random, the codec is of the published size and the model small, its ring shorter than the call. Everything
goes through files: model, codec, table of text, a voice as a recording, and the ``.pt`` that their code makes of it.
Then both step a wider model through the same tokens in bfloat16, as on a GPU, and are held against their float32.
"""

import contextlib
import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
import torch
from moshi import offline
from moshi.models import loaders
from sentencepiece import SentencePieceTrainer
from torch import Tensor
from typer.testing import CliRunner

from agent.cli import app
from agent.duplex import SAMPLE_HZ
from agent.engines.personaplex.config import AUDIO_CARD, CODEBOOKS, SHAPES, STREAMS, LMConfig, MimiConfig
from agent.engines.personaplex.slots import empty_rings
from agent.engines.personaplex.state import NARROW
from agent.engines.personaplex.weights import LM_FILE, MIMI_FILE, TEXT_FILE, load_lm
from tests.agent.engines.personaplex.against_moshi import randomize, save

LM = LMConfig(64, 4, 2, 256, 512, depformer_dim=32, depformer_num_heads=4, depformer_num_layers=2)
WIDER_LM = LMConfig(1_024, 16, 8, 300, 4_000, depformer_dim=512, depformer_num_heads=8, depformer_num_layers=4)
FRAMES = 60
CPU = torch.device("cpu")
ROLE = "  You work for a dental office. Your name is Kim, and you are open from nine to five.  "
SPECIAL = ("EPAD", "BOS", "EOS", "PAD")


def told(config: LMConfig) -> dict[str, int]:
    """Return a shape as their loader takes it."""
    names = ("dim", "num_heads", "num_layers", "context", "text_card")
    names += ("depformer_dim", "depformer_num_heads", "depformer_num_layers")
    feedforward = int(config.hidden_scale * config.depformer_dim)
    return {name: getattr(config, name) for name in names} | {"depformer_dim_feedforward": feedforward}


def noise(seconds: float, hz: int, seed: int) -> np.ndarray:
    """Noise that swells and fades four times a second, as speech does."""
    at = np.arange(round(seconds * hz)) / hz
    return 0.1 * np.sin(4 * np.pi * at) ** 2 * np.random.default_rng(seed).normal(size=len(at))


@torch.no_grad()
def make_checkpoint(folder: Path) -> None:
    model = loaders.get_moshi_lm(None).state_dict()
    with mock.patch.object(loaders, "load_model"):
        codec = loaders.get_mimi(MIMI_FILE).state_dict()
    for seed, state, name in ((1, codec, MIMI_FILE), (2, model, LM_FILE)):
        randomize(state, torch.Generator().manual_seed(seed))
        save(state, folder / name)
    SentencePieceTrainer.Train(
        sentence_iterator=iter(Path("docs/operations.md").read_text().splitlines()),
        model_prefix=str(folder / "text"), vocab_size=LM.text_card, unk_id=0, bos_id=1, eos_id=2, pad_id=3,
        minloglevel=2,
    )  # fmt: skip
    (folder / "text.model").rename(folder / TEXT_FILE)
    (folder / "voices").mkdir()
    soundfile.write(folder / "voices" / "clara.wav", noise(2.03, 16_000, 3), 16_000)
    soundfile.write(folder / "caller.wav", noise(20.01, SAMPLE_HZ, 4), SAMPLE_HZ)


def theirs(folder: Path, voice: str) -> tuple[np.ndarray, str]:
    """Return what their code answers, [N], and its text."""
    with mock.patch.object(offline, "hf_hub_download"), contextlib.redirect_stdout(sys.stderr), torch.no_grad():
        offline.run_inference(
            str(folder / "caller.wav"), str(folder / "theirs.wav"), str(folder / "theirs.json"), ROLE,
            str(folder / "voices" / voice), str(folder / TEXT_FILE), str(folder / LM_FILE), str(folder / MIMI_FILE),
            "", "cpu", None, 0.8, 0.7, 250, 25, greedy=True, save_voice_prompt_embeddings=True,
        )  # fmt: skip
    pieces = json.loads((folder / "theirs.json").read_text())
    return soundfile.read(folder / "theirs.wav")[0], "".join(piece for piece in pieces if piece not in SPECIAL)


def ours(folder: Path, voice: str) -> tuple[np.ndarray, str]:
    """Return what `parley infer` answers, [N], and its text."""
    asked = ["infer", str(folder / "caller.wav"), str(folder / "ours.wav"), "--greedy", "--json", "--device", "cpu"]
    asked += ["--text", ROLE, "--voice", voice, "--checkpoint", str(folder)]
    result = CliRunner().invoke(app, asked, catch_exceptions=False)
    return soundfile.read(folder / "ours.wav")[0][:, 1], " ".join(
        word["text"] for word in json.loads(result.stdout)["words"]
    )


def compare_answers(folder: Path) -> None:
    in_float32 = functools.partial(loaders.get_moshi_lm, dtype=torch.float32)
    with (
        mock.patch.dict(os.environ, {"PARLEY_ENGINE_ANCHOR_S": "0"}),
        mock.patch.dict(loaders._lm_kwargs, told(LM)),
        mock.patch.dict(SHAPES, {"published": (LM, MimiConfig())}),
        mock.patch.object(loaders, "get_moshi_lm", in_float32),
    ):
        make_checkpoint(folder)
        for voice in ("clara.wav", "clara.pt"):  # the first makes the second
            (wanted, said), (found, text) = theirs(folder, voice), ours(folder, voice)
            off = np.abs(found[: len(wanted)] - wanted).max() / np.abs(wanted).max()
            words = "the same" if text.split() == said.split() else "OTHER"
            print(f"voice {voice}: {len(wanted) / SAMPLE_HZ:.2f} s, {words} {len(text.split())} words, "
                  f"sound off by {off:.1e} of its peak")  # fmt: skip


def their_logits(path: Path, columns: Tensor, forced: Tensor, dtype: torch.dtype) -> list[list[Tensor]]:
    """Return the logits of the nine streams in each frame."""
    model = loaders.get_moshi_lm(path, dtype=dtype)
    said: list[list[Tensor]] = []
    with model.streaming(1):
        for column, drawn in zip(columns, forced, strict=True):
            heard, text = model.forward_codes(column)
            said.append([text.flatten()])
            with model.depformer.streaming(1):
                for k in range(CODEBOOKS):
                    said[-1].append(model.forward_depformer(k, drawn[k].view(1, 1, 1), heard).flatten())
    return said


def our_logits(
    path: Path, columns: Tensor, forced: Tensor, dtype: torch.dtype, kept: torch.dtype
) -> list[list[Tensor]]:
    """The same, with keys and values ``kept`` in a precision of their own."""
    lm, live = load_lm(path, WIDER_LM, CPU, dtype), torch.ones(1, dtype=torch.bool)
    rings = empty_rings(1, WIDER_LM, CPU, kept)
    said: list[list[Tensor]] = []
    for step, (column, drawn) in enumerate(zip(columns, forced, strict=True)):
        state = lm.temporal(lm.embed(column), rings, torch.tensor([step]), live, WIDER_LM.context)[:, -1]
        said.append([lm.text_logits(state)[0]])

        def choose(stream: int, logits: Tensor, drawn: Tensor = drawn) -> Tensor:
            said[-1].append(logits[0])
            return drawn[stream][None]

        lm.speak(state, drawn[:1], choose)
    return said


def divergence(found: list[list[Tensor]], wanted: list[list[Tensor]], streams: slice) -> float:
    """Return the mean Kullback-Leibler divergence of what would be drawn, in nats, of what is wanted from it."""
    pairs = [pair for a, b in zip(found, wanted, strict=True) for pair in zip(a[streams], b[streams], strict=True)]
    logs = [(a.float().log_softmax(-1), b.float().log_softmax(-1)) for a, b in pairs]
    return float(torch.stack([(b.exp() * (b - a)).sum() for a, b in logs]).mean())


@torch.no_grad()
def compare_precision(folder: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    columns = torch.randint(0, AUDIO_CARD, (FRAMES, 1, STREAMS, 1), generator=generator)
    forced = torch.randint(0, AUDIO_CARD, (FRAMES, 1 + CODEBOOKS), generator=generator)
    with mock.patch.dict(loaders._lm_kwargs, told(WIDER_LM)):
        weights = loaders.get_moshi_lm(None, dtype=torch.float32).state_dict()
        randomize(weights, generator)
        path = save({name: tensor.bfloat16() for name, tensor in weights.items()}, folder / LM_FILE)
        del weights
        wanted = their_logits(path, columns, forced, torch.float32)
        found = {"theirs, bfloat16": their_logits(path, columns, forced, torch.bfloat16)}
    for kept in (torch.float32, torch.bfloat16, NARROW):
        dtype = torch.float32 if kept == torch.float32 else torch.bfloat16
        found[f"ours, {dtype}, keys and values in {kept}"] = our_logits(path, columns, forced, dtype, kept)
    for name, logits in found.items():
        text, audio = (divergence(logits, wanted, streams) for streams in (slice(0, 1), slice(1, None)))
        print(f"{name}: text {text:.1e}, codebooks {audio:.1e} nats from their float32")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        compare_answers(Path(name))
        compare_precision(Path(name))


if __name__ == "__main__":
    main()
