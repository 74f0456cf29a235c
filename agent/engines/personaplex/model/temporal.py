"""The temporal transformer: one step a frame, looking back over a slot's ring of keys and values."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agent.engines.personaplex.config import LMConfig, gated_width
from agent.engines.personaplex.model.layers import (
    Fusable,
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


@dataclass(frozen=True, slots=True)
class Places:
    """Where T steps of B slots stand, and what they see.

    ``steps`` [B, T] int64; ``turn`` [B, 1, T, D/2] complex64, see ``rotation``. Of the ring either the entries of
    ``mask`` [B, T, R] are seen, or, by kernels, the first ``held`` [B] of them that are not after a query.
    """

    steps: Tensor
    turn: Tensor
    mask: Tensor | None = None
    held: Tensor | None = None

    @classmethod
    def written_together(
        cls, steps: Tensor, turn: Tensor, live: Tensor, capacity: int, reach: int, *, fused: bool
    ) -> "Places":
        """Return the places of steps that are taken in one call: see ``visible``.

        Args:
            live: [B] bool, whose result is needed; kernels read nothing for the others.
            reach: how many ring entries are read without kernels, which read what each slot holds.
        """
        if fused:
            return cls(steps, turn, held=(steps[:, -1] + 1).clamp(max=capacity) * live)
        return cls(steps, turn, visible(steps, capacity, reach, written_together=True))


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


class SelfAttention(Settled, Fusable):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.out_proj = Linear(width, width)

    def settle(self) -> None:
        self.in_proj_weight = packed(self.in_proj_weight)

    def keep(self, x: Tensor, ring: KVRing, places: Places) -> Tensor:
        """Write the keys and values of T steps [B, T, E] to the ring; return the queries, [B, H, T, D]."""
        split = product(x, self.in_proj_weight)
        if self.kernels:
            return self.kernels.keep(split, places.turn, ring, places.steps).transpose(1, 2)
        parts = split.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotate(parts[:2], places.turn)
        ring.write(k, parts[2], places.steps)
        return q

    def forward(self, x: Tensor, ring: KVRing, places: Places) -> Tensor:
        """[B, T, E] → [B, T, E]; writes T steps to the ring and reads what ``places`` says."""
        q, mask = self.keep(x, ring, places), places.mask
        if mask is None:
            assert self.kernels, "places without a mask are for kernels"
            return self.out_proj(self.kernels.attend(q.transpose(1, 2), ring, places.steps, places.held))
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

    def forward(self, x: Tensor, ring: KVRing, places: Places) -> Tensor:
        x, normed = self.norm2.added(x, self.self_attn(self.norm1(x), ring, places))
        return x + self.gating(normed)


class TemporalTransformer(Fusable):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = module_list(TemporalLayer(config) for _ in range(config.num_layers))

    def forward(self, x: Tensor, rings: Sequence[KVRing], first: Tensor, live: Tensor, reach: int) -> Tensor:
        """Take one step of B slots, [B, 1, E] → [B, 1, E].

        Args:
            rings: one a layer, of B slots.
            first: [B] int64, how many steps each slot has taken before.
            live: [B] bool, whose result is needed.
            reach: how many ring entries to read: at least what the longest slot has taken, at most the capacity;
                kernels read what each live slot holds instead.
        """
        steps, turn = self._turns(x, first)
        places = Places.written_together(steps, turn, live, rings[0].capacity, reach, fused=self.kernels is not None)
        for layer, ring in zip(self.layers, rings, strict=True):
            x = layer(x, ring, places)
        return x

    def fill(self, x: Tensor, rings: Sequence[KVRing], first: Tensor, reach: int) -> None:
        """Take T steps at once, [B, T, E], for what they leave in the rings only: the last layer ends there.

        T steps may wrap the ring only if T ≤ C - (C - 1 steps a query sees): longer runs are cut by the caller.
        """
        steps, turn = self._turns(x, first)
        places = Places(steps, turn, visible(steps, rings[0].capacity, reach))
        *before, (last, last_ring) = zip(self.layers, rings, strict=True)
        for layer, ring in before:
            x = layer(x, ring, places)
        last.self_attn.keep(last.norm1(x), last_ring, places)

    def _turns(self, x: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        steps = first[:, None] + torch.arange(x.shape[1], device=x.device)
        return steps, rotation(steps, self.config.dim // self.config.num_heads, self.config.rope_base)
