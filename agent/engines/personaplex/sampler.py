"""Drawing tokens: temperature and top-k of each slot, with random numbers that depend on nothing but the slot.

    (seed, steps drawn, stream, token) ──hash──▶ Gumbel noise + logits / temperature ──▶ largest of the top k

No generator is kept: the noise is a hash of where it is used, so that neighbours, pauses and replays change nothing.
"""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from agent.engines.personaplex.state import Stream

MOST_TOP_K = 250
"""The largest top-k: as many candidates are sorted at every draw."""

# Multipliers of splitmix64 (Steele, Lea, Flood, OOPSLA 2014) as signed 64-bit integers.
GAMMA = -7046029254386353131
MIX_1 = -4658895280553007687
MIX_2 = -7723592293110705685


@dataclass(slots=True)
class SamplingRows(Stream):
    """How each slot draws, all [B]. A temperature of 0 is greedy. ``drawn`` counts the slot's steps."""

    audio_temperature: Tensor
    text_temperature: Tensor
    audio_top_k: Tensor
    text_top_k: Tensor
    seed: Tensor
    drawn: Tensor

    @classmethod
    def greedy(cls, slots: int, device: torch.device) -> "SamplingRows":
        zeros = torch.zeros(slots, device=device)
        counts = torch.ones(slots, dtype=torch.int64, device=device)
        return cls(zeros, zeros.clone(), counts, counts.clone(), counts.clone(), torch.zeros_like(counts))

    def draw(self, stream: int, logits: Tensor, kernels: ModuleType | None = None) -> Tensor:
        """Draw the token of one stream (0 is text), from logits [B, V] float32 → [B] int64."""
        temperature, top_k = (
            (self.audio_temperature, self.audio_top_k) if stream else (self.text_temperature, self.text_top_k)
        )
        values, tokens = strongest(logits, min(MOST_TOP_K, logits.shape[-1]))
        if kernels:
            return kernels.draw(values, tokens, temperature, top_k, self.seed, self.drawn, stream)
        is_greedy = temperature <= 0
        scaled = values / temperature.masked_fill(is_greedy, 1.0)[:, None]
        noisy = scaled + gumbel(self.seed, self.drawn, stream, tokens)
        rank = torch.arange(values.shape[-1], device=logits.device)
        noisy = noisy.masked_fill(rank >= top_k[:, None], -torch.inf)
        place = noisy.argmax(dim=-1).masked_fill(is_greedy, 0)
        return tokens.gather(1, place[:, None])[:, 0]


def strongest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the ``count`` largest of each row [B, V] float32, the largest first, and their tokens, both [B, count].

    On a CPU by numpy, whose partition is four times as fast as torch's topk; of equals the lower token comes first.
    """
    if logits.device.type != "cpu":
        return logits.topk(count, dim=-1)
    bits = logits.view(torch.int32)
    # The bits of a float are in its order, but for those below zero, which are in the reverse of it.
    falling = ~(bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    keys = ((falling << 32) | torch.arange(logits.shape[-1])).numpy()
    first = np.partition(keys, count - 1, axis=-1)[:, :count]
    first.sort(axis=-1)
    tokens = torch.from_numpy(first) & 0xFFFFFFFF
    return logits.gather(1, tokens), tokens


def gumbel(seed: Tensor, step: Tensor, stream: int, tokens: Tensor) -> Tensor:
    """Return standard Gumbel noise [B, K] float32 for tokens [B, K] at steps [B] of slots seeded with [B].

    The largest of logits + noise is a draw from their softmax (Gumbel, 1954; Maddison et al., arXiv 1411.0030).
    """
    place = _mix(_mix(seed * GAMMA + step) + (stream << 32))
    bits = _mix(place[:, None] + tokens * GAMMA) & 0x7FFFFF
    # 23 bits and a half: exact in float32, and never 0 or 1, whose logarithms are of no use.
    uniform = (bits.float() + 0.5) / 2**23
    return -torch.log(-torch.log(uniform))


def _mix(x: Tensor) -> Tensor:
    """Splitmix64's finaliser; int64 products wrap, the shifts are made logical."""
    x = (x ^ ((x >> 30) & (2**34 - 1))) * MIX_1
    x = (x ^ ((x >> 27) & (2**37 - 1))) * MIX_2
    return x ^ ((x >> 31) & (2**33 - 1))
