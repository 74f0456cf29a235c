"""The measured gateway: the product's own server with the engine `loopback`, on a database of its own.

python -m agent.bench.gateway.server ──▶ {"port": …, "auth_token": …, "number": …}
"""

import asyncio
import secrets
import tempfile
from pathlib import Path

from agent.bench.gateway.probe import Probe
from agent.duplex import load_engine
from agent.logs import configure_logging
from agent.server import serving
from agent.settings import Settings, load
from personas import migrate
from personas.db import Database
from personas.library import load_library
from personas.store import PersonaStore

NUMBER = "+15550100"
_SLOTS = "1000"


async def serve(folder: Path) -> None:
    """Serve until the bench says stop."""
    probe = Probe()
    token = secrets.token_hex(16)
    settings = load(
        data_dir=folder,
        host="127.0.0.1",
        port=0,
        public_url="",
        database_url="",
        twilio_auth_token=token,
        twilio_account_sid="",
        engine="loopback",
        caller_calls_per_minute=0,
        max_loop_lag_ms=0,  # measured, not refused
    )
    await _furnish(settings)
    async with serving(settings, load_engine("loopback", {"engine_slots": _SLOTS})) as server:
        probe.announce(int(server.url.rsplit(":", 1)[1]), auth_token=token, number=NUMBER)
        await probe.stopped.wait()


async def _furnish(settings: Settings) -> None:
    await asyncio.to_thread(migrate.upgrade, settings.database)
    database = Database(settings.database)
    card = load_library()[0]
    store = PersonaStore(database)
    await store.import_cards([card])
    await store.set_number(NUMBER, card.slug)
    await database.close()


def main() -> None:
    """Run in a folder that is removed afterwards."""
    from uvicorn.loops.auto import auto_loop_factory

    configure_logging("warning")
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        asyncio.Runner(loop_factory=auto_loop_factory()) as runner,
    ):
        runner.run(serve(Path(folder)))


if __name__ == "__main__":
    main()
