"""The temporal transformer: one step a frame, looking back over a slot's ring of keys and values."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agent.engines.personaplex.config import LMConfig, gated_width
from agent.engines.personaplex.model.layers import (
    Gating,
    Linear,
    RMSNorm,
    Settled,
    module_list,
    packed,
    product,
    rotate,
    rotation,
)
from agent.engines.personaplex.state import KVRing, visible

WIDENED_SLOTS = 8
"""Slots whose 8-bit keys and values are widened at once: bounds the memory that it takes."""


def attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention of queries [B, H, T, D] over R entries, mask [B, 1, T, R] → [B, H, T, D].

    For one query on a CPU two plain products read the entries a sixth faster than torch's fused kernel does, if the
    query is a row seen as a column: the same numbers laid out as a column take more than twice as long.
    """
    if q.device.type != "cpu" or q.shape[2] > 1:
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
    scores = torch.matmul(keys, (q * q.shape[-1] ** -0.5).transpose(2, 3)).transpose(2, 3)
    return torch.matmul(scores.masked_fill(~mask, -torch.inf).softmax(dim=-1), values)


class SelfAttention(Settled):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.out_proj = Linear(width, width)

    def settle(self) -> None:
        self.in_proj_weight = packed(self.in_proj_weight)

    def keep(self, x: Tensor, ring: KVRing, steps: Tensor, turn: Tensor) -> Tensor:
        """Write the keys and values of T steps [B, T, E] to the ring; return the queries, [B, H, T, D]."""
        split = product(x, self.in_proj_weight).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotate(split[:2], turn)
        ring.write(k, split[2], steps)
        return q

    def forward(self, x: Tensor, ring: KVRing, steps: Tensor, turn: Tensor, mask: Tensor) -> Tensor:
        """[B, T, E] → [B, T, E]; writes T steps to the ring and reads its first ``mask.shape[-1]`` entries."""
        q = self.keep(x, ring, steps, turn)
        slots, reach = x.shape[0], mask.shape[-1]
        at_once = slots if ring.scales is None else WIDENED_SLOTS
        seen = []
        for group in (slice(first, first + at_once) for first in range(0, slots, at_once)):
            keys, values = ring.read(group, reach, x.dtype)
            seen.append(attend(q[group], keys, values, mask[group, None]))
        return self.out_proj(torch.cat(seen).transpose(1, 2).flatten(2))


class TemporalLayer(nn.Module):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.norm1 = RMSNorm(config.dim)
        self.self_attn = SelfAttention(config.dim, config.num_heads)
        self.norm2 = RMSNorm(config.dim)
        self.gating = Gating(config.dim, gated_width(config.dim, config.hidden_scale))

    def forward(self, x: Tensor, ring: KVRing, steps: Tensor, turn: Tensor, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.norm1(x), ring, steps, turn, mask)
        return x + self.gating(self.norm2(x))


class TemporalTransformer(nn.Module):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = module_list(TemporalLayer(config) for _ in range(config.num_layers))

    def forward(self, x: Tensor, rings: Sequence[KVRing], first: Tensor, reach: int) -> Tensor:
        """Take T steps of B slots at once, [B, T, E] → [B, T, E].

        Args:
            rings: one a layer, of B slots.
            first: [B] int64, how many steps each slot has taken before.
            reach: how many ring entries to read: at least what the longest slot has taken, at most the capacity.

        T steps may wrap the ring only if T ≤ C - (C - 1 steps a query sees): longer runs are cut by the caller.
        """
        steps, turn, mask = self._places(x, rings, first, reach)
        for layer, ring in zip(self.layers, rings, strict=True):
            x = layer(x, ring, steps, turn, mask)
        return x

    def fill(self, x: Tensor, rings: Sequence[KVRing], first: Tensor, reach: int) -> None:
        """Take T steps as ``forward`` does, for what they leave in the rings only: the last layer ends there."""
        steps, turn, mask = self._places(x, rings, first, reach)
        *before, (last, last_ring) = zip(self.layers, rings, strict=True)
        for layer, ring in before:
            x = layer(x, ring, steps, turn, mask)
        last.self_attn.keep(last.norm1(x), last_ring, steps, turn)

    def _places(self, x: Tensor, rings: Sequence[KVRing], first: Tensor, reach: int) -> tuple[Tensor, Tensor, Tensor]:
        steps = first[:, None] + torch.arange(x.shape[1], device=x.device)
        turn = rotation(steps, self.config.dim // self.config.num_heads, self.config.rope_base)
        return steps, turn, visible(steps, rings[0].capacity, reach)
