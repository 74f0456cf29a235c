"""Calls longer than the context: rebuild a slot as its role prompt and its latest tokens, before the prompt is lost.

    slot   prompt ··· old ········ latest │now     the ring is nearly full; ticks go on
    spare  prompt latest │now                      one parallel pass, chunk by chunk, until it has caught up
    swap   the spare's rings, and the window moved to its new place, between two ticks

The reference's ring loses its role prompt after 240 s instead; so does a slot that is not re-anchored.
"""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from agent.engines.personaplex.config import TOKEN_COLUMNS
from agent.engines.personaplex.delays import delays_on
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.prefill import CHUNK_STEPS, Prefill, RingImage
from agent.engines.personaplex.prompt import PromptSteps
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import KVRing

HISTORY_SLACK = 256
"""Columns kept beyond those replayed: the call goes on while it is rebuilt."""


class Schedule:
    """When a slot is rebuilt, and how much of the call it keeps; all in steps."""

    def __init__(self, capacity: int, keep_steps: int) -> None:
        self.capacity = capacity
        self.keep_steps = keep_steps
        self.from_steps = capacity - capacity // 8
        self.latest_steps = capacity - capacity // 32

    def is_due(self, steps: int, is_quiet: bool) -> bool:
        """Say whether to rebuild a slot that has taken ``steps``: at a quiet moment, or before the ring is full."""
        return bool(self.keep_steps) and steps >= (self.from_steps if is_quiet else self.latest_steps)

    def kept(self, prompt_steps: int, steps: int) -> int:
        """Return how many of the latest steps to keep: a quarter of the ring at least must be free afterwards."""
        room = self.capacity - self.capacity // 4 - prompt_steps - 1
        return max(0, min(self.keep_steps, room, steps - prompt_steps))


class Anchor:
    """The rebuilding of one slot; ``spare`` are rings of one slot that nobody else uses meanwhile."""

    def __init__(
        self, lm: PersonaPlexLM, state: EngineState, slot: int, spare: Sequence[KVRing], prompt: PromptSteps, keep: int
    ) -> None:
        self._lm = lm
        self._state = state
        self._slot = slot
        self._spare = spare
        self._prompt = prompt
        self._next = self._position - keep
        self._first = self._next
        self._taken = 0

    @property
    def _position(self) -> int:
        """The position of the slot's next input."""
        return int(self._state.window.offset[self._slot]) - 1

    @property
    def steps(self) -> int:
        """Steps the rebuilt slot has taken."""
        return self._taken

    def run(self, image: RingImage | None) -> Generator[None, None, None]:
        """Rebuild and swap, one chunk of work between two yields; ``image`` is the prompt's, if it was kept."""
        prefill = Prefill(self._lm, self._spare, 0, self._prompt)
        if image:
            prefill.start_from(image)
        while not prefill.done:
            prefill.advance()
            yield
        self._taken = prefill.taken
        seam, _ = self._prompt.window.column(self._prompt.window.offset - 1)
        self._take(seam[0][None])
        while self._next < self._position:
            self._take(self._columns(min(CHUNK_STEPS, self._position - self._next)))
            if self._next < self._position:
                yield
        self._swap()

    def _columns(self, count: int) -> Tensor:
        """Return the call's next ``count`` columns, [T, 17]; the first stands on the prompt as if it came after it."""
        kept = self._state.history.shape[1]
        assert self._position - self._next <= kept, "the history was overwritten before it was replayed"
        places = (self._next + torch.arange(count, device=self._state.history.device)) % kept
        columns = self._state.history[self._slot, places].long()
        if self._next == self._first:
            prompted, _ = self._prompt.window.column(self._prompt.window.offset)
            columns[0] = torch.where(delays_on(columns.device) > 0, prompted[0], columns[0])
        self._next += count
        return columns

    @torch.no_grad()
    def _take(self, columns: Tensor) -> None:
        inputs = self._lm.embed(columns.T[None])
        first = torch.tensor([self._taken], device=columns.device)
        self._lm.transformer.fill(inputs, self._spare, first, self._taken + len(columns))
        self._taken += len(columns)

    @torch.no_grad()
    def _swap(self) -> None:
        """Put the rebuilt rings in the slot's place; the window and the history move with the positions."""
        state, slot = self._state, self._slot
        shift = self._position - self._taken
        for ring, spare in zip(state.rings, self._spare, strict=True):
            for mine, rebuilt in zip(ring.parts, spare.parts, strict=True):
                mine[slot, :, : self._taken].copy_(rebuilt[0, :, : self._taken])
        window = state.window
        window.tokens[slot] = window.tokens[slot].roll(-(shift % TOKEN_COLUMNS), dims=-1)
        window.forced[slot] = window.forced[slot].roll(-(shift % TOKEN_COLUMNS), dims=-1)
        window.offset[slot] -= shift
        kept = state.history.shape[1]
        state.history[slot] = state.history[slot].roll(-(shift % kept), dims=0)
