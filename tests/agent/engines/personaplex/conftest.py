"""Without torch the tests of the PersonaPlex engine are skipped, and say how to install it."""

import os
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agent.engines.loopback import LoopbackEngine

if find_spec("torch") is not None:
    import torch

    torch.set_num_threads(1)  # tiny models gain nothing from more, and lose much on a busy machine
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read where a kernel is defined

WITHOUT_TORCH = ("test_fair_socket", "test_server", "test_server_clients", "test_serving")
"""Modules that run with any engine."""


class WithoutTorch(pytest.Module):
    def collect(self) -> list[pytest.Item]:
        pytest.skip("torch is not installed; `make torch` installs it", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    needs_torch = module_path.stem not in WITHOUT_TORCH
    return WithoutTorch.from_parent(parent, path=module_path) if needs_torch and find_spec("torch") is None else None


@pytest.fixture
async def loopback() -> "AsyncIterator[tuple[LoopbackEngine, str]]":
    """Two slots that repeat the caller, and the address at which they are served."""
    from agent.engines.loopback import LoopbackEngine
    from tests.agent.engines.chat_server import served  # the other tests here do without its packages

    engine = LoopbackEngine(slots=2, delay_frames=0)
    async with served(engine) as address:
        yield engine, address
