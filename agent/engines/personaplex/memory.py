"""How many calls a device holds: free memory, what one call takes, what the rest needs."""

import structlog
import torch

from agent.engines.personaplex.checkpoint import Models
from agent.engines.personaplex.errors import CheckpointError
from agent.engines.personaplex.slots import ring_bytes

CPU_SLOTS = 4
"""Where nothing else is said; a CPU is for trying things."""

RESERVED_BYTES = 4 * 1024**3
"""Kept prompts (2 GiB) and working memory of a tick and of a chunk of a prompt."""

GIB = 1024**3

log = structlog.get_logger(__name__)


def slot_bytes(models: Models, dtype: torch.dtype) -> int:
    """Return what one slot takes, keys and values in ``dtype``."""
    config = models.lm.config
    codec = models.mimi.encoder_state(1).byte_count() + models.mimi.decoder_state(1).byte_count()
    return ring_bytes(config, dtype) + codec


def slots_that_fit(models: Models, wanted: int, dtype: torch.dtype, *, spare: bool) -> int:
    """Return ``wanted`` slots, or as many as fit if 0 are; on a CPU the count is taken as it is.

    ``spare`` sets one more ring apart, for re-anchoring.

    Raises:
        CheckpointError: they do not fit; the sentence holds the arithmetic.
    """
    if models.device.type != "cuda":
        return wanted or CPU_SLOTS
    free, _ = torch.cuda.mem_get_info(models.device)
    each = slot_bytes(models, dtype)
    spare_bytes = ring_bytes(models.lm.config, dtype) if spare else 0
    reserved = RESERVED_BYTES + spare_bytes
    fit = (free - reserved) // each
    sum_of = (
        f"({free / GIB:.1f} GiB free - {reserved / GIB:.1f} GiB reserved) / {each / GIB:.2f} GiB a call = {max(fit, 0)}"
    )
    if fit < max(wanted, 1):
        raise CheckpointError(
            f"{wanted or 1} slots do not fit on {models.device}: {sum_of}; lower PARLEY_ENGINE_SLOTS."
        )
    log.info("slots fit", arithmetic=sum_of, slots=wanted or fit)
    return wanted or fit
