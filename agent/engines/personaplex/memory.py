"""How many calls a device holds: free memory, what one call takes, what the rest needs."""

from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import torch
from torch import nn

from agent.engines.personaplex.errors import CheckpointError
from agent.engines.personaplex.model.temporal import WIDENED_SLOTS
from agent.engines.personaplex.slots import ring_bytes
from agent.engines.personaplex.state import NARROW

if TYPE_CHECKING:
    from agent.engines.personaplex.checkpoint import Models

CPU_SLOTS = 4
"""Where nothing else is said; a CPU is for trying things."""

GIB = 1024**3
CACHE_BYTES = {"cuda": GIB, "cpu": GIB // 4}
"""Kept keys and values of voices and role prompts; a GiB holds seven whole prompts of 300 frames in bfloat16."""

WORKING_BYTES = {"cuda": GIB, "cpu": GIB // 4}
"""What a tick, a chunk of a prompt and CUDA's libraries need while they run."""

log = structlog.get_logger(__name__)


def slot_bytes(models: "Models", dtype: torch.dtype) -> int:
    """Return what one slot takes, keys and values in ``dtype``."""
    config = models.lm.config
    codec = models.mimi.encoder_state(1).byte_count() + models.mimi.decoder_state(1).byte_count()
    return ring_bytes(config, dtype) + codec


def reserved_bytes(models: "Models", dtype: torch.dtype, *, spare: bool) -> int:
    """Return what must stay free beside the slots; ``spare`` is one more ring, for re-anchoring."""
    config, weight = models.lm.config, models.lm.dtype
    is_widened = dtype == NARROW and not models.lm.kernels
    widened = WIDENED_SLOTS * ring_bytes(config, weight) // config.num_layers if is_widened else 0
    kind = models.device.type
    return CACHE_BYTES[kind] + WORKING_BYTES[kind] + widened + (ring_bytes(config, dtype) if spare else 0)


def free_bytes(device: torch.device) -> int | None:
    """Return the memory that can still be taken, or None where the system does not say."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    known = Path("/proc/meminfo")
    if not known.is_file():
        return None
    sizes = dict(line.split(":") for line in known.read_text().splitlines())
    return int(sizes["MemAvailable"].removesuffix("kB")) * 1024


def check_weights(model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Find out whether a model that holds nothing yet (on ``meta``) fits; a CPU's process would be killed unasked.

    Raises:
        CheckpointError: it does not.
    """
    free = free_bytes(device)
    needed = dtype.itemsize * sum(tensor.numel() for tensor in model.state_dict().values())
    if free is not None and needed > free:
        raise CheckpointError(
            f"The weights take {needed / GIB:.1f} GiB, and {device} has {free / GIB:.1f} GiB free: "
            "take a device with more memory."
        )


def slots_that_fit(models: "Models", wanted: int, dtype: torch.dtype, *, spare: bool, free: int | None) -> int:
    """Return ``wanted`` slots, or as many as fit if 0 are, on a CPU four at most.

    Args:
        spare: set one more ring apart, for re-anchoring.
        free: bytes of memory, see ``free_bytes``; None takes the count as it is.

    Raises:
        CheckpointError: they do not fit; the sentence holds the arithmetic.
    """
    if free is None:
        return wanted or CPU_SLOTS
    each = slot_bytes(models, dtype)
    reserved = reserved_bytes(models, dtype, spare=spare)
    fit = max((free - reserved) // each, 0)
    sum_of = f"({free / GIB:.1f} GiB free - {reserved / GIB:.1f} GiB reserved) / {each / GIB:.3f} GiB a call = {fit}"
    if fit < max(wanted, 1):
        raise CheckpointError(
            f"{wanted or 1} slots do not fit on {models.device}: {sum_of}; lower --slots (PARLEY_ENGINE_SLOTS)"
            + (", or keep keys and values in 8 bits with PARLEY_ENGINE_KV=fp8." if dtype != NARROW else ".")
        )
    slots = wanted or (fit if models.device.type == "cuda" else min(fit, CPU_SLOTS))
    log.info("slots fit", arithmetic=sum_of, slots=slots)
    return slots
