"""The tick over buffers whose addresses never change; on CUDA captured as graphs, one a reach, and replayed.

host's samples, live ──copy──▶ inputs ─▶ tick over EngineState ─▶ outputs ──copy──▶ host
                                         └ one graph for each of a few reaches

A captured tick is one launch instead of some thousands. Whoever changes the state between two ticks (prompts,
re-anchoring, resets) writes into the same tensors, so that the next replay sees it.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from agent.duplex import FRAME_SAMPLES
from agent.engines.personaplex.config import CODEBOOKS
from agent.engines.personaplex.errors import CheckpointError
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.step import Spoken, tick

MOST_REACHES = 8
_ALIGNED_ENTRIES = 64  # attention's kernels take masks in whole blocks
_WARM_UP_TICKS = 2


def reaches(capacity: int) -> list[int]:
    """Return the lengths of rings that ticks read, ascending, the whole capacity last."""
    step = bucket(capacity)
    return [*range(step, capacity, step), capacity]


def bucket(capacity: int) -> int:
    """Return what the lengths of ``reaches`` are multiples of."""
    return -(-capacity // (MOST_REACHES * _ALIGNED_ENTRIES)) * _ALIGNED_ENTRIES


class Step:
    """Ticks of all slots of one state. Not captured, it runs kernel by kernel with the same results."""

    def __init__(self, lm: PersonaPlexLM, mimi: Mimi, state: EngineState) -> None:
        device, slots = state.window.offset.device, state.slots
        self._lm, self._mimi, self._state = lm, mimi, state
        self._samples = torch.zeros(slots, FRAME_SAMPLES, device=device)
        self._live = torch.zeros(slots, dtype=torch.bool, device=device)
        self._said = Spoken(
            torch.zeros(slots, FRAME_SAMPLES, device=device),
            torch.zeros(slots, 1 + CODEBOOKS, dtype=torch.int64, device=device),
        )
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None
        self._is_captured = False

    @property
    def captured(self) -> list[int]:
        """The reaches that there are graphs for."""
        return sorted(self._graphs)

    def run(self, samples: Tensor, live: Tensor, reach: int) -> Spoken:
        """Take one frame of each live slot: samples [B, 1 920] and live [B], from any device.

        Returns:
            Tensors that the next run overwrites.

        Raises:
            ValueError: the step is captured, but not for this reach.
        """
        self._samples.copy_(samples, non_blocking=True)
        self._live.copy_(live, non_blocking=True)
        if not self._is_captured:
            self._compute(reach)
        elif reach in self._graphs:
            self._graphs[reach].replay()
        else:
            raise ValueError(f"There is no graph for a reach of {reach}, only for {self.captured}.")
        return self._said

    def capture(self, wanted: Iterable[int]) -> None:
        """Capture the tick once for each reach; no slot may be in use.

        Raises:
            CheckpointError: the device refuses; eager ticks would be several times slower, so nobody gets them unasked.
        """
        self._live.zero_()
        try:
            # The longest first: shorter ones then find room in the memory it took.
            for reach in sorted(wanted, reverse=True):
                self._graphs[reach] = self._capture(reach)
        except (RuntimeError, AssertionError) as error:
            self._graphs.clear()
            raise CheckpointError(
                f"The tick can't be captured as a CUDA graph ({type(error).__name__}: {str(error).splitlines()[0]}); "
                "a newer driver or PyTorch may do it, and PARLEY_ENGINE_EAGER=true does without, much slower."
            ) from error
        self._is_captured = True

    def _capture(self, reach: int) -> torch.cuda.CUDAGraph:
        """Tick on a stream of its own first: libraries set themselves up then, which can't be captured."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP_TICKS):
                self._compute(reach)
        torch.cuda.current_stream().wait_stream(aside)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self._compute(reach)
        return graph

    def _compute(self, reach: int) -> None:
        said = tick(self._lm, self._mimi, self._state, self._samples, self._live, reach)
        self._said.samples.copy_(said.samples)
        self._said.tokens.copy_(said.tokens)
