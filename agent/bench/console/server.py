"""The measured server: the real application with its console, on the database that the environment names.

python -m agent.bench.console.server ──▶ {"port": …, "pid": …}
"""

from agent.bench.gateway.probe import Probe
from agent.duplex import load_engine
from agent.logs import configure_logging
from agent.server import serving
from agent.settings import load

LAG_TICK_S = 0.002  # a page is made in less time than the 50 ms between two looks of a server of its own


async def serve() -> None:
    """Serve until the bench says stop."""
    probe = Probe(LAG_TICK_S)
    settings = load(host="127.0.0.1", port=0, public_url="", engine="loopback", max_loop_lag_ms=0, time_zone="UTC")
    async with serving(settings, load_engine("loopback", {"engine_slots": "8"})) as server:
        probe.announce(int(server.url.rsplit(":", 1)[1]))
        await probe.stopped.wait()


def main() -> None:
    """Run until told to stop."""
    import asyncio

    from uvicorn.loops.auto import auto_loop_factory

    configure_logging("warning")
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(serve())


if __name__ == "__main__":
    main()
