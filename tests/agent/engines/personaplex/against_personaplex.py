"""Compares `parley infer` with NVIDIA's published code: both answer one recording, greedily, in one role and voice.

    git clone https://github.com/NVIDIA/personaplex
    pip install --no-deps einops==0.8.2               beside `make torch`: their package asks for an older torch
    PYTHONPATH=personaplex/moshi python -m tests.agent.engines.personaplex.against_personaplex

Weights are random, the codec is of the published size and the model small, its ring shorter than the call. Everything
goes through files: model, codec, table of text, a voice as a recording, and the ``.pt`` that their code makes of it.
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
from typer.testing import CliRunner

from agent.cli import app
from agent.duplex import SAMPLE_HZ
from agent.engines.personaplex.config import SHAPES, LMConfig, MimiConfig
from agent.engines.personaplex.weights import LM_FILE, MIMI_FILE, TEXT_FILE
from tests.agent.engines.personaplex.against_moshi import randomize, save

LM = LMConfig(64, 4, 2, 256, 512, depformer_dim=32, depformer_num_heads=4, depformer_num_layers=2)
THEIR_LM = {
    "dim": LM.dim,
    "num_heads": LM.num_heads,
    "num_layers": LM.num_layers,
    "context": LM.context,
    "text_card": LM.text_card,
    "depformer_dim": LM.depformer_dim,
    "depformer_dim_feedforward": int(LM.hidden_scale * LM.depformer_dim),
    "depformer_num_heads": LM.depformer_num_heads,
    "depformer_num_layers": LM.depformer_num_layers,
}
ROLE = "  You work for a dental office. Your name is Kim, and you are open from nine to five.  "
SPECIAL = ("EPAD", "BOS", "EOS", "PAD")


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


def main() -> None:
    os.environ["PARLEY_ENGINE_ANCHOR_S"] = "0"
    in_float32 = functools.partial(loaders.get_moshi_lm, dtype=torch.float32)
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch.dict(loaders._lm_kwargs, THEIR_LM),
        mock.patch.dict(SHAPES, {"published": (LM, MimiConfig())}),
        mock.patch.object(loaders, "get_moshi_lm", in_float32),
    ):
        folder = Path(name)
        make_checkpoint(folder)
        for voice in ("clara.wav", "clara.pt"):  # the first makes the second
            (wanted, said), (found, text) = theirs(folder, voice), ours(folder, voice)
            off = np.abs(found[: len(wanted)] - wanted).max() / np.abs(wanted).max()
            words = "the same" if text.split() == said.split() else "OTHER"
            print(f"voice {voice}: {len(wanted) / SAMPLE_HZ:.2f} s, {words} {len(text.split())} words, "
                  f"sound off by {off:.1e} of its peak")  # fmt: skip


if __name__ == "__main__":
    main()
