"""The token window of each slot: which token stands where, with every stream's delay.

    position  o-1 = the model's input · o = what this step predicts · o+1 = where delayed streams are written

The token of frame ``f`` in a stream with delay ``d`` stands at position ``f + d``, and position ``p``
in column ``p % 4``. A frame given in advance (role prompt, caller) is *forced*; the rest is drawn.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from agent.engines.personaplex.config import (
    AUDIO_INITIAL,
    CODEBOOKS,
    DELAYS,
    MAX_DELAY,
    STREAMS,
    TOKEN_COLUMNS,
)
from agent.engines.personaplex.state import Stream

CALLER = slice(1 + CODEBOOKS, STREAMS)
AGENT = slice(0, 1 + CODEBOOKS)


@cache
def delays_on(device: torch.device) -> Tensor:
    """Return every stream's delay, [17] int64; kept, because a CUDA graph can't copy it from the host."""
    return torch.tensor(DELAYS, device=device)


@dataclass(slots=True)
class TokenWindow(Stream):
    """tokens [B, 17, 4] int64 · forced [B, 17, 4] bool · offset [B] int64, the position predicted next."""

    tokens: Tensor
    forced: Tensor
    offset: Tensor

    @classmethod
    def empty(cls, slots: int, text_initial: int, device: torch.device) -> "TokenWindow":
        """Return windows as they stand before the first frame: position 0 holds the initial tokens."""
        tokens = torch.full((slots, STREAMS, TOKEN_COLUMNS), AUDIO_INITIAL, device=device)
        tokens[:, 0] = text_initial
        forced = torch.zeros(slots, STREAMS, TOKEN_COLUMNS, dtype=torch.bool, device=device)
        # Streams with a delay have no frame of their own yet at position 1 either.
        forced[:, :, 1] = delays_on(device) > 0
        return cls(tokens, forced, torch.ones(slots, dtype=torch.int64, device=device))

    def give(self, streams: slice, frame: Tensor, live: Tensor) -> None:
        """Force a frame's tokens [B, S] of some streams, each at its delay; slots that are not live keep theirs."""
        columns = ((self.offset[:, None] + delays_on(frame.device)[streams]) % TOKEN_COLUMNS)[:, :, None]
        tokens, forced = self.tokens[:, streams], self.forced[:, streams]
        write = live[:, None, None]
        tokens.scatter_(2, columns, torch.where(write, frame[:, :, None], tokens.gather(2, columns)))
        forced.scatter_(2, columns, forced.gather(2, columns) | write)

    def column(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens and forced flags [B, 17] at ``position`` [B]."""
        columns = (position % TOKEN_COLUMNS)[:, None, None].expand(-1, STREAMS, 1)
        return self.tokens.gather(2, columns)[:, :, 0], self.forced.gather(2, columns)[:, :, 0]

    def draw(self, drawn: Tensor, live: Tensor) -> Tensor:
        """Place what a step drew [B, 9] at its position and move on; return the frame that is now whole, [B, 9].

        The agent's frame lags ``MAX_DELAY`` frames behind, so that its codebooks line up. ``drawn`` must already
        hold the forced tokens where there are any. Slots that are not live keep everything.
        """
        columns = (self.offset % TOKEN_COLUMNS)[:, None, None].expand(-1, 1 + CODEBOOKS, 1)
        agent = self.tokens[:, AGENT]
        agent.scatter_(2, columns, torch.where(live[:, None, None], drawn[:, :, None], agent.gather(2, columns)))
        whole = ((self.offset[:, None] - MAX_DELAY + delays_on(drawn.device)[AGENT]) % TOKEN_COLUMNS)[:, :, None]
        frame = agent.gather(2, whole)[:, :, 0]
        used = ((self.offset + 2) % TOKEN_COLUMNS)[:, None, None].expand(-1, STREAMS, 1)
        self.forced.scatter_(2, used, self.forced.gather(2, used) & ~live[:, None, None])
        self.offset += live
        return frame
