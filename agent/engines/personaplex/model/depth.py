"""The depth transformer: the codebooks of one frame, one after another, each with its own weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agent.engines.personaplex.config import CODEBOOKS, LMConfig, gated_width
from agent.engines.personaplex.model.layers import Gating, RMSNorm, module_list


class DepthAttention(nn.Module):
    """Attention over the codebooks so far; projections of all codebooks stacked along dim 0."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(CODEBOOKS * 3 * width, width))
        self.out_proj = nn.Linear(width, CODEBOOKS * width, bias=False)

    def forward(self, x: Tensor, k: int, past: list[Tensor]) -> Tensor:
        """[B, E] of codebook ``k`` → [B, E]; ``past`` collects keys and values, [2, B, H, 1, D] a codebook."""
        width = x.shape[-1]
        weight = self.in_proj_weight[3 * width * k : 3 * width * (k + 1)]
        q, *key_value = F.linear(x, weight).unflatten(-1, (3, self.heads, -1)).unsqueeze(3).unbind(1)
        past.append(torch.stack(key_value))
        keys, values = torch.cat(past, dim=3).unbind(0)
        seen = F.scaled_dot_product_attention(q, keys, values).flatten(1)
        return F.linear(seen, self.out_proj.weight[width * k : width * (k + 1)])


class DepthLayer(nn.Module):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        width = config.depformer_dim
        self.norm1 = RMSNorm(width)
        self.self_attn = DepthAttention(width, config.depformer_num_heads)
        self.norm2 = RMSNorm(width)
        self.gating = module_list(Gating(width, gated_width(width, config.hidden_scale)) for _ in range(CODEBOOKS))

    def forward(self, x: Tensor, k: int, past: list[Tensor]) -> Tensor:
        x = x + self.self_attn(self.norm1(x[:, None])[:, 0], k, past)
        return x + self.gating[k](self.norm2(x[:, None])[:, 0])


class DepthTransformer(nn.Module):
    """Only the agent's eight codebooks: what the checkpoint's steps 8-15 predict is never heard."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.layers = module_list(DepthLayer(config) for _ in range(config.depformer_num_layers))

    def forward(self, inputs: Callable[[int], Tensor], choose: Callable[[int, Tensor], None]) -> None:
        """Run the codebooks in order: ``inputs(k)`` gives [B, E], ``choose(k, state)`` takes [B, E] and draws."""
        past: list[list[Tensor]] = [[] for _ in self.layers]
        for k in range(CODEBOOKS):
            x = inputs(k)
            for layer, seen in zip(self.layers, past, strict=True):
                x = layer(x, k, seen)
            choose(k, x)
