"""Models with random weights: for trying the plumbing and for measuring, since speed does not depend on values."""

import math

import torch
from torch import Tensor, nn

from agent.engines.personaplex.config import SHAPES
from agent.engines.personaplex.memory import check_weights
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.model.layers import settle
from agent.engines.personaplex.model.lm import PersonaPlexLM


def random_models(
    shape: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    seed: int = 0,
    fused: bool = False,
    drawn_on: torch.device | None = None,
) -> tuple[PersonaPlexLM, Mimi]:
    """Make both models of one of ``config.SHAPES``; the codec is always float32. The same seed, the same weights.

    Args:
        fused: see ``layers.settle``.
        drawn_on: the device whose random numbers are used, another's differ; ``device`` if there is none.

    Raises:
        CheckpointError: the weights do not fit on the device.
    """
    lm_config, mimi_config = SHAPES[shape]
    generator = torch.Generator(drawn_on or device).manual_seed(seed)
    with torch.device("meta"):
        lm, mimi = PersonaPlexLM(lm_config), Mimi(mimi_config)
    check_weights(lm, device, dtype)
    _fill(lm, dtype, generator)
    _fill(mimi, torch.float32, generator)
    lm, mimi = lm.to(device), mimi.to(device)
    settle(lm, fused=fused)
    settle(mimi, fused=fused)
    return lm.eval(), mimi.eval()


@torch.no_grad()
def _fill(model: nn.Module, dtype: torch.dtype, generator: torch.Generator) -> None:
    model.to(dtype).to_empty(device=generator.device)
    for name, tensor in model.state_dict().items():
        scale = _scale(name, tensor)
        if scale is None:
            tensor.fill_(1.0)
        else:
            tensor.normal_(0.0, scale, generator=generator)
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def _scale(name: str, tensor: Tensor) -> float | None:
    """Return a standard deviation that keeps activations of order 1, or None for a factor that is 1 at rest."""
    if name.endswith(("alpha", "cluster_usage")) or ("norm" in name and name.endswith("weight")):
        return None
    if name.endswith("layer_scale_1.scale") or name.endswith("layer_scale_2.scale"):
        return 0.1
    if name.endswith("embedding_sum"):
        return 1.0
    if "emb" in name:
        return 0.5
    if tensor.dim() < 2:
        return 0.01
    return 1.0 / math.sqrt(math.prod(tensor.shape[1:]))
