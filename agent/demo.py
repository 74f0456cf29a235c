"""The demo: everything of one call, on this machine, over real sockets.

database, library ─▶ server ─▶ simulated phone ─▶ webhook, media socket, engine ─▶ row ─▶ score ─▶ DemoReport
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from agent.live import CallOver, LiveEvent
from agent.server import RunningServer, serving
from agent.settings import Settings
from crm.call import Call, Scorecard, Turn
from crm.scoring import score_and_store
from personas import migrate
from personas.db import Database
from personas.library import library_numbers, load_library
from personas.store import PersonaStore
from telephony.simulator import CallResult, Phone, ScriptedCaller, Step

SCRIPT = Path(__file__).with_name("demo.yaml")
NUMBER = "+15550100"
_TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo's call left behind; ``heard`` is the phone's own account of it."""

    call: Call
    turns: list[Turn]
    card: Scorecard
    dynamics: dict[str, Any]
    recording: Path
    page: str
    heard: CallResult

    def onset_ms(self, percentile: str) -> float | None:
        """Return "p50" or "p90" of the wait from the caller's end to the agent's start, as recorded."""
        return (self.dynamics.get("onset") or {}).get(f"{percentile}_ms")

    def as_dict(self) -> dict[str, Any]:
        """Return what ``parley demo --once --json`` prints."""
        return {
            "call_id": self.call.id,
            "persona": self.call.persona_slug,
            "engine": self.call.engine,
            "outcome": self.call.outcome,
            "duration_ms": self.call.duration_ms,
            "caller_turns": _as_dicts(self.turns, "caller"),
            "agent_turns": _as_dicts(self.turns, "agent"),
            "adherence": {
                "score": self.card.score,
                "coverage": self.card.coverage,
                "verdicts": [
                    {"criterion": v.criterion_id, "text": v.text, "verdict": v.result, "quote": v.quote}
                    for v in self.card.verdicts
                ],
            },
            "onset_ms": {name: self.onset_ms(name) for name in ("p50", "p90")},
            "recording": str(self.recording),
            "page": self.page,
        }


def _as_dicts(turns: list[Turn], side: str) -> list[dict[str, Any]]:
    """Return one side's turns in seconds, without those of which no words are known, such as "mm-hmm"."""
    spoken = [turn for turn in turns if turn.side == side and turn.text]
    return [{"start": turn.start_ms / 1000, "end": turn.end_ms / 1000, "text": turn.text} for turn in spoken]


def demo_settings(settings: Settings) -> Settings:
    """Return the settings with what a call on this machine needs and nobody has set: a token, a free port.

    The call is taken however busy the machine is.
    """
    # The demo's phone calls this machine, not the public address.
    wanted: dict[str, Any] = {"public_url": "", "max_loop_lag_ms": 0}
    if not settings.auth_tokens:
        wanted["twilio_auth_token"] = SecretStr(_kept_token(settings.data_dir / "demo-token"))
    if settings.port and not _is_free(settings.host, settings.port):
        wanted["port"] = _free_port(settings.host)
    return settings.model_copy(update=wanted)


def _kept_token(path: Path) -> str:
    """Return the demo's token, the same in each run, so that a second terminal can call as well."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(_TOKEN_BYTES))
    return path.read_text().strip()


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((host, port))
            return True
    return False


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


async def prepare(settings: Settings) -> None:
    """Bring the database up to date and load the library, on its ten numbers; what was edited stays.

    Raises:
        DatabaseError: the database can't be used.
    """
    await asyncio.to_thread(migrate.upgrade, settings.database)
    database = Database(settings.database)
    try:
        store = PersonaStore(database)
        await store.import_cards(load_library())
        taken = {setting.number for setting in await store.numbers()}
        there = {persona.slug for persona in await store.personas()}
        for number, slug in library_numbers().items():
            if number not in taken and slug in there:
                await store.set_number(number, slug)
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def demo_server(settings: Settings) -> AsyncIterator[RunningServer]:
    """Run the server on the demo's settings; see ``agent.server.serving``."""
    await prepare(settings)
    async with serving(settings) as server:
        yield server


async def place_call(server: RunningServer, steps: tuple[Step, ...], tell: Callable[[LiveEvent], None]) -> DemoReport:
    """Phone the persona on NUMBER, tell each word as it is spoken, score the call.

    Raises:
        TelephonyError: the server refused the call.
    """
    state = server.app.state
    token = state.settings.auth_tokens[0]
    events = state.live.subscribe()
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(_tell_until_over(events, tell))
        heard = await Phone(server.url, token).call(ScriptedCaller(steps), to_number=NUMBER)
        async with asyncio.timeout(15):
            call_id = await listening
    call = await state.calls.call(call_id)
    card = await score_and_store(state.calls, state.personas, call_id)
    return DemoReport(
        call=call,
        turns=await state.calls.turns(call_id),
        card=card,
        dynamics=await state.calls.dynamics(call_id),
        recording=state.recordings.file(call.recording),
        page=f"{server.url}/calls/{call_id}",
        heard=heard,
    )


async def _tell_until_over(events: Any, tell: Callable[[LiveEvent], None]) -> str:
    async for call_id, event in events:
        tell(event)
        if isinstance(event, CallOver):
            return call_id
    return ""
