"""The state of all calls: one row a slot in every tensor, allocated once.

EngineState ── window    [B, 17, 4]: the newest tokens, and the position of each slot
            ├─ rings     keys and values of each temporal layer, [B, H, C, D]
            ├─ encoder, decoder: the codec's tails and rings
            ├─ sampling  temperature, top-k, seed
            └─ history   [B, R, 17]: the columns a slot has taken lately, for re-anchoring
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agent.engines.personaplex.config import STREAMS, LMConfig
from agent.engines.personaplex.delays import TokenWindow
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.mimi.conv import CodecState
from agent.engines.personaplex.sampler import SamplingRows
from agent.engines.personaplex.state import NARROW, KVRing, Stream


@dataclass(slots=True)
class EngineState(Stream):
    """B slots. A slot has taken ``window.offset - 1`` steps."""

    window: TokenWindow
    rings: list[KVRing]
    encoder: CodecState
    decoder: CodecState
    sampling: SamplingRows
    history: Tensor

    @classmethod
    def empty(
        cls, slots: int, config: LMConfig, mimi: Mimi, *, device: torch.device, dtype: torch.dtype, history: int = 0
    ) -> "EngineState":
        """Allocate ``slots`` rows; keys and values in ``dtype``, ``history`` columns kept of each slot."""
        return cls(
            window=TokenWindow.empty(slots, config.text_initial, device),
            rings=empty_rings(slots, config, device, dtype),
            encoder=mimi.encoder_state(slots),
            decoder=mimi.decoder_state(slots),
            sampling=SamplingRows.greedy(slots, device),
            history=torch.zeros(slots, history, STREAMS, dtype=torch.int32, device=device),
        )

    @property
    def slots(self) -> int:
        return self.window.tokens.shape[0]

    @torch.no_grad()
    def reset(self, slot: int, text_initial: int) -> None:
        """Make a slot as new. Its rings keep what they hold: nothing of it can be seen before it is overwritten."""
        self.window.copy_row(slot, TokenWindow.empty(1, text_initial, self.window.tokens.device), 0)
        for side in (self.encoder, self.decoder):
            for tail in side.tails:
                tail[slot].zero_()
            side.frames[slot] = 0
        self.sampling.drawn[slot] = 0

    @torch.no_grad()
    def remember(self, column: Tensor, live: Tensor) -> None:
        """Note the columns [B, 17] that a step takes, at the place of their position."""
        kept = self.history.shape[1]
        if kept:
            place = ((self.window.offset - 1) % kept)[:, None, None].expand(-1, 1, STREAMS)
            old = self.history.gather(1, place)
            new = torch.where(live[:, None, None], column[:, None].to(old.dtype), old)
            self.history.scatter_(1, place, new)


def empty_rings(slots: int, config: LMConfig, device: torch.device, dtype: torch.dtype) -> list[KVRing]:
    head = config.dim // config.num_heads
    shape = (slots, config.num_heads, config.context, head, device, dtype)
    return [KVRing.empty(*shape) for _ in range(config.num_layers)]


def ring_bytes(config: LMConfig, dtype: torch.dtype) -> int:
    """Return how many bytes of keys and values one slot takes, the scales of 8-bit ones included."""
    scales = config.num_heads * torch.bfloat16.itemsize if dtype == NARROW else 0
    return 2 * config.num_layers * config.context * (config.dim * dtype.itemsize + scales)
