"""The fleet's application with a device that fails in the next tick once the file PARLEY_TEST_BREAK is there."""

import os
from pathlib import Path

from starlette.applications import Starlette

from agent.engines.personaplex.ticker import Ticker
from deploy.ray import fleet


class Breakable(fleet.EngineReplica):
    async def __serve_build_asgi_app__(self) -> Starlette:
        tick, fault = Ticker.tick, Path(os.environ["PARLEY_TEST_BREAK"])

        def break_or_tick(*given: object) -> object:
            if fault.exists():
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            return tick(*given)  # pyright: ignore[reportArgumentType]

        Ticker.tick = break_or_tick  # pyright: ignore[reportAttributeAccessIssue]
        return await super().__serve_build_asgi_app__()


fleet.EngineReplica = Breakable
app = fleet.app
