"""The published model without values, its kernels noted instead of launched: what a GPU would compile and run.

    python -m tests.agent.engines.personaplex.published 90 …    compiles them for compute capabilities 9.0, …

A process of its own: Triton's interpreter changes Triton's language for good where it has run.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from agent.engines.personaplex import kernels
from agent.engines.personaplex.config import SHAPES
from agent.engines.personaplex.graph import Step
from agent.engines.personaplex.mimi.codec import Mimi
from agent.engines.personaplex.model.layers import settle
from agent.engines.personaplex.model.lm import PersonaPlexLM
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import NARROW

KERNELS = ("_rms_norm", "_gate", "_keep", "_attend", "_join", "_attend_depth", "_draw")
META = torch.device("meta")
NARROW_FROM = 89
TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", NARROW: "*fp8e4nv", torch.int64: "*i64"}


class Launches:
    """Stands in for a kernel; notes what it was launched with."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.noted: list[tuple[Any, ...]] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        assert all(size > 0 for size in grid)
        return lambda *values: self.noted.append(values)

    def sources(self) -> dict[str, ASTSource]:
        """Return what there is to compile, by signature."""
        return {str(found.signature) + str(found.constants): found for found in map(self._source, self.noted)}

    def _source(self, values: tuple[Any, ...]) -> ASTSource:
        signature, constants, dense = {}, {}, {}
        for place, (parameter, value) in enumerate(zip(self.kernel.params, values, strict=True)):
            if parameter.is_constexpr:
                signature[parameter.name], constants[(place,)] = "constexpr", value
            elif isinstance(value, torch.Tensor):
                signature[parameter.name], dense[(place,)] = TYPES[value.dtype], [["tt.divisibility", 16]]
            else:
                signature[parameter.name] = "fp32" if isinstance(value, float) else "i32"
        return ASTSource(fn=self.kernel, signature=signature, constexprs=constants, attrs=dense)


def published(slots: int, kept: torch.dtype, *, fused: bool) -> Step:
    """Return the published model's step on the device "meta", which has shapes and no values."""
    lm_config, mimi_config = SHAPES["published"]
    with META:
        lm, mimi = PersonaPlexLM(lm_config), Mimi(mimi_config)
    lm.to(torch.bfloat16)
    settle(lm, fused=fused)
    settle(mimi, fused=fused)
    return Step(lm, mimi, EngineState.empty(slots, lm_config, mimi, device=META, dtype=kept, history=16))


@torch.no_grad()
def main(capabilities: list[str]) -> None:
    watched = [Launches(getattr(kernels, name)) for name in KERNELS]
    for name, launches in zip(KERNELS, watched, strict=True):
        setattr(kernels, name, launches)
    for capability in map(int, capabilities):
        for launches in watched:
            launches.noted.clear()
        for kept in (torch.bfloat16, NARROW)[: 1 + (capability >= NARROW_FROM)]:
            published(40, kept, fused=True)._compute(0)
        sources = [source for launches in watched for source in launches.sources().values()]
        compiled = [triton.compile(source, target=GPUTarget("cuda", capability, 32)) for source in sources]
        print(capability, sum(len(one.asm["cubin"]) > 0 for one in compiled))


if __name__ == "__main__":
    main(sys.argv[1:])
