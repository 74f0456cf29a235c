"""Layers that both transformers share: matrix products, norm, rotation, gated feed-forward."""

import math
from collections.abc import Iterable
from types import ModuleType
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Module = TypeVar("Module", bound=nn.Module)


def module_list(modules: Iterable[Module]) -> list[Module]:
    """Return an nn.ModuleList that type checkers take for a list of what it holds."""
    return cast("list[Module]", nn.ModuleList(modules))


PACKED_FOR_ROWS = 8
"""The batch that packed weights are laid out for; measured, they are as good for one row and for 256."""


def packs(weight: Tensor) -> bool:
    """Whether ``packed`` lays a matrix of this kind out anew."""
    is_wide = weight.device.type == "cpu" and weight.dtype == torch.float32
    return is_wide and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def packed(weight: Tensor) -> nn.Parameter:
    """Lay a matrix out for ``product``: in oneDNN's blocks for float32 on a CPU, as it is elsewhere.

    Eager float32 products of few rows read the weights in their own order, two to four times slower.
    """
    if packs(weight):
        weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), PACKED_FOR_ROWS)
    return nn.Parameter(weight, requires_grad=False)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[…, in] times the transpose of a matrix [out, in], packed or not, plus [out] → […, out]."""
    if weight.is_mkldnn:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


class Settled(nn.Module):
    """A module that derives something from its parameters once they are in."""

    def settle(self) -> None:
        raise NotImplementedError


class Fusable(nn.Module):
    """A module that leaves chains of torch's operations to ``kernels``, if it has them."""

    kernels: ModuleType | None = None


def settle(model: nn.Module, *, fused: bool = False) -> None:
    """Settle every part of a model; call once, after loading and before the first use.

    Args:
        fused: use the kernels of ``kernels``, which want a GPU.
    """
    for part in list(model.modules()):
        if isinstance(part, Settled):
            part.settle()
        if isinstance(part, Fusable) and fused:
            from agent.engines.personaplex import kernels

            part.kernels = kernels


class Linear(Settled):
    """A product with a matrix under the checkpoint's name ``weight``, [out, in]; no bias."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(cout, cin))

    def settle(self) -> None:
        self.weight = packed(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight)


class Lookup(Settled):
    """A table of embeddings under the checkpoint's name ``weight``, [V, E]."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size, width))

    def settle(self) -> None:
        self.weight = with_zeros(self.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Look tokens [...] up, [..., E]; -1 gives zeros."""
        return F.embedding(tokens % len(self.weight), self.weight)


def with_zeros(table: Tensor) -> nn.Parameter:
    """Add a row of zeros to a table: where -1 leads, taken modulo its rows."""
    return nn.Parameter(F.pad(table, (0, 0, 0, 1)), requires_grad=False)


class RMSNorm(Fusable):
    """Root mean square norm, computed in float32. ``alpha`` is [1, 1, E]."""

    def __init__(self, width: int, eps: float = 1e-8) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] → the same shape and dtype."""
        if self.kernels:
            return self.kernels.rms_norm(x, self.alpha, self.eps)
        wide = x.float()
        scale = self.alpha.flatten().float() * torch.rsqrt(self.eps + wide.square().mean(dim=-1, keepdim=True))
        return (wide * scale).to(x.dtype)

    def added(self, x: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x`` + ``more`` and its norm."""
        if self.kernels:
            return self.kernels.added_norm(x, more, self.alpha, self.eps)
        x = x + more
        return x, self(x)


class Gating(Fusable):
    """Gated SiLU feed-forward; ``linear_in`` holds the gate and the value stacked."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear_in = Linear(width, 2 * hidden)
        self.linear_out = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        both = self.linear_in(x)
        if self.kernels:
            return self.linear_out(self.kernels.gate(both))
        gate, value = both.chunk(2, dim=-1)
        return self.linear_out(F.silu(gate) * value)


def rotation(positions: Tensor, head_width: int, base: float) -> Tensor:
    """Return the rotary embedding's turns, cosine + i sine, [B, 1, T, D/2] complex64, for positions [B, T].

    Moshi's order: interleaved pairs, angles in float32 (RoFormer, arXiv 2104.09864, eq. 34).
    """
    pair = torch.arange(head_width // 2, device=positions.device, dtype=torch.float32)
    frequency = torch.exp(pair * (-math.log(base) * 2 / head_width))
    angle = positions.float()[:, None, :, None] * frequency
    return torch.complex(angle.cos(), angle.sin())


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn each pair of [..., B, H, T, D] by its angle; float32 inside, the input's dtype outside."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)
