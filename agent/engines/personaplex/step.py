"""One tick: every live slot hears 80 ms and says 80 ms.

caller's samples ─▶ encode ─▶ give ─▶ embed ─▶ temporal ─▶ text ─▶ depth ─▶ draw ─▶ decode ─▶ agent's samples

Shapes never change and nothing is read back to the host, so that a CUDA graph can replay a tick. Slots that are
not live compute too, and keep everything they had.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from agent.engines.personaplex.config import AUDIO_CARD
from agent.engines.personaplex.delays import CALLER
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.slots import EngineState

Watch = Callable[[int, Tensor], None]
"""Sees each stream's logits, (stream 0 … 8, [B, V] float32), as they are drawn from."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a tick said: ``samples`` [B, 1 920] float32, ``tokens`` [B, 9] int64 (text, 8 codebooks of one frame).

    Both lag one frame behind what was heard, so that the codebooks of a frame line up.
    """

    samples: Tensor
    tokens: Tensor


@torch.no_grad()
def tick(lm: PersonaPlexLM, mimi: Mimi, state: EngineState, samples: Tensor, live: Tensor, reach: int) -> Spoken:
    """Take one frame of each live slot, samples [B, 1 920] in [-1, 1]; see ``advance`` for ``reach``."""
    tokens = advance(lm, state, mimi.encode(samples, state.encoder, live), live, reach)
    return Spoken(mimi.decode(tokens[:, 1:].clamp(0, AUDIO_CARD - 1), state.decoder, live), tokens)


@torch.no_grad()
def advance(
    lm: PersonaPlexLM, state: EngineState, caller: Tensor, live: Tensor, reach: int, watch: Watch | None = None
) -> Tensor:
    """Step the language model: the caller's codes [B, 8] in, the agent's frame [B, 9] out.

    Args:
        live: [B] bool.
        reach: how many ring entries are read; at least ``reach_of`` the longest live slot.
    """
    window = state.window
    window.give(CALLER, caller, live)
    column, _ = window.column(window.offset - 1)
    state.remember(column, live)
    heard = lm.temporal(lm.embed(column[:, :, None]), state.rings, window.offset - 1, live, reach)[:, -1]
    given, forced = window.column(window.offset)

    def choose(stream: int, logits: Tensor) -> Tensor:
        if watch:
            watch(stream, logits)
        return torch.where(forced[:, stream], given[:, stream], state.sampling.draw(stream, logits, lm.kernels))

    text = choose(0, lm.text_logits(heard))
    spoken = lm.speak(heard, text, choose)
    state.sampling.drawn += live
    return window.draw(torch.cat((text[:, None], spoken), dim=1), live)


def reach_of(steps: int, capacity: int, bucket: int = 1) -> int:
    """Return how many ring entries a slot needs for its next step after ``steps``, in multiples of ``bucket``."""
    return min(capacity, -(-(steps + 1) // bucket) * bucket)
