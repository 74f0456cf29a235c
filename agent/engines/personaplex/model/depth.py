"""The depth transformer: the codebooks of one frame, one after another, each with its own weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agent.engines.personaplex.config import CODEBOOKS, LMConfig, gated_width
from agent.engines.personaplex.model.layers import (
    Fusable,
    Gating,
    Linear,
    RMSNorm,
    Settled,
    module_list,
    packed,
    product,
)


class DepthAttention(Settled, Fusable):
    """Attention over the codebooks so far; in the checkpoint the projections of all codebooks are one stack."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(CODEBOOKS * 3 * width, width))
        self.out_proj = Linear(width, CODEBOOKS * width)

    def settle(self) -> None:
        """Take the stacks apart, a matrix a codebook."""
        self.inward = nn.ParameterList(packed(part) for part in self.in_proj_weight.chunk(CODEBOOKS))
        self.outward = nn.ParameterList(packed(part) for part in self.out_proj.weight.chunk(CODEBOOKS))
        del self.in_proj_weight, self.out_proj

    def forward(self, x: Tensor, k: int, past: Tensor) -> Tensor:
        """[B, E] of codebook ``k`` → [B, E]; ``past`` [B, 2, H, 8, D] takes its keys and values."""
        split = product(x, self.inward[k])
        if self.kernels:
            return product(self.kernels.attend_depth(split, past, k), self.outward[k])
        q, key_value = split.unflatten(-1, (3, self.heads, -1)).split((1, 2), dim=1)
        past[:, :, :, k] = key_value
        keys, values = past[:, :, :, : k + 1].unbind(1)
        seen = F.scaled_dot_product_attention(q.transpose(1, 2), keys, values)
        return product(seen.flatten(1), self.outward[k])


class DepthLayer(nn.Module):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        width = config.depformer_dim
        self.norm1 = RMSNorm(width)
        self.self_attn = DepthAttention(width, config.depformer_num_heads)
        self.norm2 = RMSNorm(width)
        self.gating = module_list(Gating(width, gated_width(width, config.hidden_scale)) for _ in range(CODEBOOKS))

    def forward(self, x: Tensor, k: int, past: Tensor) -> Tensor:
        x, normed = self.norm2.added(x, self.self_attn(self.norm1(x), k, past))
        return x + self.gating[k](normed)


class DepthTransformer(nn.Module):
    """Only the agent's eight codebooks: what the checkpoint's steps 8-15 predict is never heard."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.layers = module_list(DepthLayer(config) for _ in range(config.depformer_num_layers))
        self.heads = config.depformer_num_heads

    def forward(self, inputs: Callable[[int], Tensor], choose: Callable[[int, Tensor], None]) -> None:
        """Run the codebooks in order: ``inputs(k)`` gives [B, E], ``choose(k, state)`` takes [B, E] and draws."""
        past: list[Tensor] = []
        for k in range(CODEBOOKS):
            x = inputs(k)
            if not past:
                shape = (x.shape[0], 2, self.heads, CODEBOOKS, x.shape[1] // self.heads)
                past = [x.new_empty(shape) for _ in self.layers]
            for layer, seen in zip(self.layers, past, strict=True):
                x = layer(x, k, seen)
            choose(k, x)
