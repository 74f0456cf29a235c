"""Checkpoint files → modules, tensor by tensor onto the device, without a second copy in memory."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from agent.engines.personaplex.config import CODEBOOKS, LMConfig, MimiConfig
from agent.engines.personaplex.errors import CheckpointError
from agent.engines.personaplex.memory import check_weights
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.model.layers import settle
from agent.engines.personaplex.model.lm import PersonaPlexLM

LM_FILE = "model.safetensors"
MIMI_FILE = "tokenizer-e351c8d8-checkpoint125.safetensors"
TEXT_FILE = "tokenizer_spm_32k_3.model"
VOICES_FILE = "voices.tgz"

# Of a checkpoint, but never heard: the depth steps that predict the caller, the codebooks past the eighth.
_UNHEARD = (
    re.compile(r"^(depformer_in|linears)\.(?P<k>\d+)\."),
    re.compile(r"^depformer\.layers\.\d+\.gating\.(?P<k>\d+)\."),
    re.compile(r"^depformer_emb\.(?P<k_before>\d+)\."),
    re.compile(r"^quantizer\.rvq_rest\.vq\.layers\.(?P<k_before>\d+)\."),
)
_DTYPES = ("BF16", "F16", "F32", "F64")
_STACKED = re.compile(r"^depformer\.layers\.\d+\.self_attn\.(in_proj_weight|out_proj\.weight)$")


Module = TypeVar("Module", bound=nn.Module)


def load_lm(
    path: Path, config: LMConfig, device: torch.device, dtype: torch.dtype, *, fused: bool = False
) -> PersonaPlexLM:
    """Load the language model; see ``layers.settle`` for ``fused``.

    Raises:
        CheckpointError: the file is missing, is no safetensors file, or its names or shapes do not fit ``config``.
    """
    return _load(path, lambda: PersonaPlexLM(config), device, dtype, fused)


def load_mimi(path: Path, config: MimiConfig, device: torch.device, *, fused: bool = False) -> Mimi:
    """Load the codec, always in float32; raises like ``load_lm``."""
    return _load(path, lambda: Mimi(config), device, torch.float32, fused)


def _load(path: Path, build: Callable[[], Module], device: torch.device, dtype: torch.dtype, fused: bool) -> Module:
    with torch.device("meta"):
        module = build()
    slots = dict(_slots(module))
    with _opened(path) as file:
        names = set(file.keys())
        _check_names(path, names, set(slots))
        check_weights(module, device, dtype)
        for name, (owner, member, expected) in slots.items():
            tensor = _read(path, file, name, expected).to(device=device, dtype=dtype)
            if isinstance(expected, nn.Parameter):
                setattr(owner, member, nn.Parameter(tensor, requires_grad=False))
            else:
                owner.register_buffer(member, tensor)
    settle(module, fused=fused)
    return module.eval()


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    if not path.is_file():
        raise CheckpointError(
            f"There is no file {path}: a checkpoint folder holds {LM_FILE}, {MIMI_FILE} and {TEXT_FILE}."
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror or type(error).__name__}).") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error}); download it again.") from error


def _slots(module: nn.Module) -> Iterator[tuple[str, tuple[nn.Module, str, Tensor]]]:
    """Yield each stored tensor's name, the module that owns it, and its meta tensor."""
    stored = set(module.state_dict())
    for prefix, owner in module.named_modules():
        for member, tensor in (*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)):
            name = f"{prefix}.{member}" if prefix else member
            if name in stored:
                yield name, (owner, member, tensor)


def _is_unheard(name: str) -> bool:
    if name.endswith("._initialized"):
        return True
    for pattern in _UNHEARD:
        if match := pattern.match(name):
            groups = match.groupdict()
            return int(groups["k"]) >= CODEBOOKS if "k" in groups else int(groups["k_before"]) >= CODEBOOKS - 1
    return False


def _check_names(path: Path, found: set[str], wanted: set[str]) -> None:
    missing = sorted(wanted - found)
    unknown = sorted(name for name in found - wanted if not _is_unheard(name))
    if missing:
        raise CheckpointError(f"{path} lacks {len(missing)} of the model's tensors, {missing[0]} first among them.")
    if unknown:
        raise CheckpointError(
            f"{path} holds {len(unknown)} tensors the model does not have, {unknown[0]} first among them."
        )


def _read(path: Path, file: safe_open, name: str, expected: Tensor) -> Tensor:
    """Read one tensor; of a stack over the depth steps only the part that is heard, whether it holds 8 or 16."""
    part = file.get_slice(name)
    if part.get_dtype() not in _DTYPES:
        raise CheckpointError(
            f"{path}: {name} is kept as {part.get_dtype()}; give a checkpoint of BF16, F16 or F32, not a quantised one."
        )
    shape = tuple(part.get_shape())
    is_stack = _STACKED.match(name) is not None
    longer = is_stack and shape[1:] == expected.shape[1:] and shape[0] in (expected.shape[0], 2 * expected.shape[0])
    if not longer and shape != tuple(expected.shape):
        raise CheckpointError(f"{path}: {name} has the shape {list(shape)}, the model expects {list(expected.shape)}.")
    return part[: expected.shape[0]] if is_stack else file.get_tensor(name)
