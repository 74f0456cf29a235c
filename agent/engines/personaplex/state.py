"""Everything that changes during calls, as tensors that are allocated once.

    EngineState ── TokenWindow [B, 17, 4] + offsets
                ├─ KVRing per temporal layer [B, H, C, D]
                └─ MimiState: encoder and decoder, one row a slot

A slot is row ``b`` of every tensor, so it can be reset, copied out, copied in and swapped without
touching its neighbours. Shapes and addresses never change: a CUDA graph can replay over them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

import torch
from torch import Tensor

NARROW = torch.float8_e4m3fn
"""Keys and values of 8 bits (OCP FP8, E4M3): four bits of exponent, three of fraction."""

NARROW_MOST = 448.0
NARROW_LEAST_SCALE = 2.0**-60


@dataclass(slots=True)
class KVRing:
    """Keys and values of one layer. B slots, H heads, C capacity, D head width.

    Step ``p`` of a slot is kept at entry ``p % C``. Shapes and addresses never change.
    ``scales`` [B, H, C, 2] bfloat16, where keys and values are ``NARROW``: what each key and each value was divided
    by, so that its largest component is the largest that 8 bits hold. The others are off by a 16th at most.
    """

    keys: Tensor
    values: Tensor
    scales: Tensor | None = None

    @classmethod
    def empty(
        cls, slots: int, heads: int, capacity: int, width: int, device: torch.device, dtype: torch.dtype
    ) -> "KVRing":
        shape = (slots, heads, capacity, width)
        keys, values = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
        scales = torch.zeros(*shape[:3], 2, device=device, dtype=torch.bfloat16) if dtype == NARROW else None
        return cls(keys, values, scales)

    @property
    def capacity(self) -> int:
        return self.keys.shape[2]

    @property
    def parts(self) -> list[Tensor]:
        """All tensors, each [B, H, C, …]."""
        return [self.keys, self.values] if self.scales is None else [self.keys, self.values, self.scales]

    def write(self, k: Tensor, v: Tensor, steps: Tensor) -> None:
        """Write [B, H, T, D] at steps [B, T] int64.

        A slot that is not live writes too, at the step it has not taken yet: its next live step overwrites that.
        T may not exceed C: two steps of one call would share an entry.
        """
        places = steps % self.capacity
        if self.scales is None and k.device.type == "cpu":  # whole vectors: half the time of scatter_
            slots = torch.arange(k.shape[0])[:, None]
            for held, new in ((self.keys, k), (self.values, v)):
                held[slots, :, places] = new.transpose(1, 2).to(held.dtype)
            return
        entries = places[:, None, :, None].expand_as(k)
        if self.scales is None:
            self.keys.scatter_(2, entries, k.to(self.keys.dtype))
            self.values.scatter_(2, entries, v.to(self.values.dtype))
            return
        both = torch.stack((k, v), dim=3).float()
        scales = (both.abs().amax(-1) / NARROW_MOST).clamp(min=NARROW_LEAST_SCALE).to(self.scales.dtype)
        self.scales.scatter_(2, entries[..., :2], scales)
        narrow = (both / scales[..., None].float()).clamp(-NARROW_MOST, NARROW_MOST).to(NARROW)
        for held, new in zip((self.keys, self.values), narrow.unbind(3), strict=True):
            held.view(torch.uint8).scatter_(2, entries, new.view(torch.uint8))  # scatter_ knows no 8-bit floats

    def read(self, slots: slice, reach: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return the first ``reach`` keys and values of some slots, [b, H, R, D]; views if they are of ``dtype``."""
        keys, values = (held[slots, :, :reach].to(dtype) for held in (self.keys, self.values))
        if self.scales is None:
            return keys, values
        scales = self.scales[slots, :, :reach].to(dtype)
        return keys * scales[..., :1], values * scales[..., 1:]

    def rows(self, slots: slice) -> "KVRing":
        """Return a view of some slots' rings."""
        return KVRing(self.keys[slots], self.values[slots], None if self.scales is None else self.scales[slots])


def visible(steps: Tensor, capacity: int, reach: int, *, written_together: bool = False) -> Tensor:
    """Return which ring entries a query may see, [B, T, R] bool, for the first ``reach`` (R ≤ C) entries.

    A query at step q sees steps q-C+2 … q: like the reference, whose ring masks its oldest entry once it is full.

    Args:
        steps: [B, T] int64, the queries' steps, ascending; all are in the ring already.
        written_together: the reference writes these T steps in one call and masks the entry that is the oldest
            after the last of them, for all of them. Without it, the result is that of T calls of one step.
    """
    entry = torch.arange(reach, device=steps.device)
    newest = steps[:, -1:]
    held = (newest - (newest - entry) % capacity)[:, None, :]  # the step each entry holds, negative if none
    query = steps[:, :, None]
    last = newest[:, :, None] if written_together else query
    return (held >= 0) & (held <= query) & (last - held <= capacity - 2)


@dataclass(slots=True)
class Stream:
    """Base of the state dataclasses: a tree of tensors whose first dimension is the slot."""

    def tensors(self) -> Iterator[Tensor]:
        """Yield every tensor of the tree, in a fixed order."""
        yield from _tensors(self)

    @torch.no_grad()
    def copy_row(self, row: int, source: "Stream", source_row: int) -> None:
        """Overwrite one slot with a slot of another state of the same shapes."""
        for mine, theirs in zip(self.tensors(), source.tensors(), strict=True):
            mine[row].copy_(theirs[source_row])

    def byte_count(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors())


def _tensors(node: object) -> Iterator[Tensor]:
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, list | tuple):
        for part in node:
            yield from _tensors(part)
    elif is_dataclass(node):
        for member in fields(node):
            yield from _tensors(getattr(node, member.name))
