"""The tick over buffers whose addresses never change; on CUDA captured as a graph, and replayed.

host's samples, live ──copy──▶ inputs ─▶ tick over EngineState ─▶ outputs ──copy──▶ host

A captured tick is one launch instead of some thousand. Whoever changes the state between two ticks (prompts,
re-anchoring, resets) writes into the same tensors, so that the next replay sees it.
"""

from importlib.util import find_spec

import torch
from torch import Tensor

from agent.duplex import FRAME_SAMPLES
from agent.engines.personaplex.config import CODEBOOKS
from agent.engines.personaplex.errors import CheckpointError
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import NARROW
from agent.engines.personaplex.step import Spoken, tick

_WARM_UP_TICKS = 2
_NARROW_FROM = (8, 9)
_WITHOUT = "PARLEY_ENGINE_EAGER=true does without, much slower."


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
        self._graph: torch.cuda.CUDAGraph | None = None

    @property
    def is_captured(self) -> bool:
        return self._graph is not None

    def run(self, samples: Tensor, live: Tensor, reach: int) -> Spoken:
        """Take one frame of each live slot: samples [B, 1 920] and live [B], from any device; ``reach`` as in ``tick``.

        Returns:
            Tensors that the next run overwrites.
        """
        self._samples.copy_(samples, non_blocking=True)
        self._live.copy_(live, non_blocking=True)
        if self._graph:
            self._graph.replay()
        else:
            self._compute(reach)
        return self._said

    def capture(self, reach: int) -> None:
        """Capture the tick, for good, with one ``reach``; no slot may be in use.

        Raises:
            CheckpointError: the device refuses; eager ticks would be several times slower, so nobody gets them unasked.
        """
        self._live.zero_()
        try:
            # On a stream of its own first: libraries set themselves up then, which can't be captured.
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(_WARM_UP_TICKS):
                    self._compute(reach)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._compute(reach)
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            raise CheckpointError(
                f"The tick can't be captured as a CUDA graph ({type(error).__name__}: {said[0]}); "
                f"what is missing, or a newer driver or PyTorch, may mend it, and {_WITHOUT}"
            ) from error
        self._graph = graph

    def _compute(self, reach: int) -> None:
        said = tick(self._lm, self._mimi, self._state, self._samples, self._live, reach)
        self._said.samples.copy_(said.samples)
        self._said.tokens.copy_(said.tokens)


def check_kernels(device: torch.device, kept: torch.dtype) -> None:
    """Say whether the kernels of ``kernels`` run on a GPU, with keys and values ``kept`` in one precision.

    Raises:
        CheckpointError: they do not.
    """
    if find_spec("triton") is None:
        raise CheckpointError(f"Ticks on a GPU need Triton, which is not installed: pip install triton; {_WITHOUT}")
    capability = torch.cuda.get_device_capability(device)
    if kept == NARROW and capability < _NARROW_FROM:
        raise CheckpointError(
            "Keys and values of 8 bits need a GPU of compute capability 8.9 or newer (Ada, Hopper), this one's is "
            f"{'.'.join(map(str, capability))}: leave PARLEY_ENGINE_KV empty."
        )
