"""Role prompts in one pass: chunks of steps computed side by side, straight into a slot's rings.

voice seen before ──copy──┐
prompt seen before ─copy──┼─▶ rings of the slot ─▶ window ─▶ the slot is as if it had been stepped
the rest ── ≤ 64 steps a chunk, between two ticks ──┘
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.prompt import PromptSteps
from agent.engines.personaplex.state import KVRing

CHUNK_STEPS = 64
"""Steps of a prompt between two ticks of the calls in progress."""


@dataclass(frozen=True, slots=True)
class RingImage:
    """The first ``steps`` entries of one slot's rings: [H, steps, …], the parts of one layer after another's."""

    parts: list[Tensor]

    @classmethod
    @torch.no_grad()
    def take(cls, rings: Sequence[KVRing], slot: int, steps: int) -> "RingImage":
        return cls([part[slot, :, :steps].clone() for ring in rings for part in ring.parts])

    @torch.no_grad()
    def put(self, rings: Sequence[KVRing], slot: int) -> None:
        for part, kept in zip((part for ring in rings for part in ring.parts), self.parts, strict=True):
            part[slot, :, : self.steps].copy_(kept)

    @property
    def steps(self) -> int:
        return self.parts[0].shape[1]

    @staticmethod
    def bytes_of(rings: Sequence[KVRing], steps: int) -> int:
        """Return what an image of so many steps takes."""
        return steps * sum(part[0, :, 0].numel() * part.element_size() for ring in rings for part in ring.parts)

    @property
    def byte_count(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.parts)


@dataclass(slots=True)
class ImageCache:
    """Ring images by what they were computed from, the least recently used dropped beyond ``most_bytes``."""

    most_bytes: int
    hits: int = 0
    misses: int = 0
    byte_count: int = 0
    _images: OrderedDict[Hashable, RingImage] = field(default_factory=OrderedDict)

    def get(self, key: Hashable) -> RingImage | None:
        image = self._images.get(key)
        if image is None:
            self.misses += 1
        else:
            self.hits += 1
            self._images.move_to_end(key)
        return image

    def keep(self, key: Hashable, rings: Sequence[KVRing], slot: int, steps: int) -> None:
        """Keep a slot's first steps, unless they are larger than the whole cache; others go before they are copied."""
        self._drop(key)
        needed = RingImage.bytes_of(rings, steps)
        if needed > self.most_bytes:
            return
        while self.byte_count + needed > self.most_bytes:
            self._drop(next(iter(self._images)))
        self._images[key] = RingImage.take(rings, slot, steps)
        self.byte_count += needed

    def _drop(self, key: Hashable) -> None:
        if key in self._images:
            self.byte_count -= self._images.pop(key).byte_count

    def __contains__(self, key: Hashable) -> bool:
        return key in self._images

    def __len__(self) -> int:
        return len(self._images)


class Prefill:
    """Takes a prompt's steps in one slot of ``rings``, a chunk a call; the slot must not be live meanwhile."""

    def __init__(self, lm: PersonaPlexLM, rings: Sequence[KVRing], slot: int, steps: PromptSteps) -> None:
        self._lm = lm
        self._rings = rings
        self._slot = slot
        self._steps = steps
        self.taken = 0

    @property
    def done(self) -> bool:
        return self.taken == self._steps.steps

    def start_from(self, image: RingImage) -> None:
        """Copy steps that were computed before instead of taking them."""
        image.put(self._rings, self._slot)
        self.taken = image.steps

    @torch.no_grad()
    def advance(self, most_steps: int = CHUNK_STEPS) -> None:
        """Take up to ``most_steps`` further steps in one forward pass."""
        capacity = self._rings[0].capacity
        # Once a ring is full, a third step of a chunk would overwrite what its first has yet to see.
        room = max(2, capacity - self.taken)
        count = min(most_steps, self._steps.steps - self.taken, room)
        if count == 0:
            return
        inputs = self._inputs(self.taken, self.taken + count)
        first = torch.tensor([self.taken], device=inputs.device)
        rows = [ring.rows(slice(self._slot, self._slot + 1)) for ring in self._rings]
        self._lm.transformer.fill(inputs, rows, first, min(capacity, self.taken + count))
        self.taken += count

    def _inputs(self, start: int, end: int) -> Tensor:
        """Return the inputs of steps start … end-1, [1, T, E]."""
        embeddings, columns = self._steps.embeddings, self._steps.columns
        before = 0 if embeddings is None else embeddings.shape[0]
        parts = []
        if embeddings is not None and start < before:
            parts.append(embeddings[None, start : min(end, before)])
        if end > before:
            parts.append(self._lm.embed(columns[None, :, max(0, start - before) : end - before]))
        return torch.cat([part.to(self._lm.dtype) for part in parts], dim=1)
