"""`parley serve`: the server that answers calls and shows the console."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.server import RunningServer
    from agent.settings import Settings


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on, instead of PARLEY_HOST; 0.0.0.0 means all.")] = "",
    port: Annotated[
        int,
        typer.Option(min=-1, max=65_535, help="Port, instead of PARLEY_PORT; 0 takes a free one.", show_default=False),
    ] = -1,
    workers: Annotated[
        int,
        typer.Option(
            min=0, max=64, help="Processes on the port, instead of PARLEY_WORKERS; each loads the engine for itself."
        ),
    ] = 0,
    worker: Annotated[str, typer.Option(hidden=True, help="What the supervisor tells one of its workers.")] = "",
) -> None:
    """Answer calls and show the console, until it is told to stop (Ctrl+C or SIGTERM); live calls may finish first.

    They have PARLEY_DRAIN_S seconds for it. A second signal ends them at once; either way they get their rows.
    """
    from uvicorn.loops.auto import auto_loop_factory

    from agent.logs import configure_logging
    from agent.settings import load
    from agent.tracing.export import exporting

    overrides = ({"host": host} if host else {}) | ({"port": port} if port >= 0 else {})
    settings = load(**overrides | ({"workers": workers} if workers else {}))
    configure_logging(settings.log_level, settings.log_format)
    if worker:
        running = _work(settings, worker)
    elif settings.workers > 1:
        from agent.supervisor import Supervisor

        running = Supervisor(settings).run()
    else:
        running = _serve(settings)
    with exporting(settings, "parley"), asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(running)


async def _serve(settings: "Settings") -> None:
    from agent.beside import working_beside
    from agent.server import serving

    async with serving(settings) as server:
        asked = _heed_signals(server)
        await _introduce(server)
        async with working_beside(settings):
            await asked.wait()
            await server.drain(settings.drain_s)


async def _work(settings: "Settings", told: str) -> None:
    """Be one of the supervisor's workers; its death, seen on the standard input, stops the worker too."""
    import sys

    from agent.server import serving
    from agent.supervisor import Told

    orders = Told.read(told)
    async with serving(settings, listening=orders.socket()) as server:
        asked = _heed_signals(server)
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), asked.set)
        if orders.is_first:
            await _introduce(server)
        orders.report_ready()
        await asked.wait()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        await server.drain(settings.drain_s)


def _heed_signals(server: "RunningServer") -> asyncio.Event:
    """Return what the first signal sets; the second stops the server at once."""
    import signal

    asked = asyncio.Event()

    def heed() -> None:
        server.stop() if asked.is_set() else asked.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, heed)
    return asked


async def _introduce(server: "RunningServer") -> None:
    """Say where everything is, and what is still missing before a call can come in."""
    from rich.console import Console
    from sqlalchemy.engine import make_url

    out = Console(stderr=True, highlight=False)
    state = server.app.state
    settings: Settings = state.settings
    numbers = await state.personas.numbers()
    personas = await state.personas.personas()
    capacity = state.engine.capacity()
    each = f" in each of {settings.workers} processes" if settings.workers > 1 else ""
    lines = {
        "Console": f"{server.url}/",
        "Engine": f"{state.engine.name}, {capacity.slots} calls at once{each}",
        "Database": make_url(settings.database).render_as_string(hide_password=True),
        "Personas": f"{len(personas)}, on {len(numbers)} phone number{'' if len(numbers) == 1 else 's'}",
        "Webhook": f"{settings.origin}/twilio/voice  (Twilio: number → Voice → A call comes in, HTTP POST)",
    }
    if settings.peer_origin:
        lines["Peers"] = f"{settings.peer_origin}  (where other machines reach this one)"
    warnings = _missing(settings, bool(personas), bool(numbers))
    login = {"Login": f"admin / {state.admin_password}  (shown only now)"} if state.admin_password else {}
    if settings.log_format == "json":
        _log_introduction(lines, warnings)
        lines = {}
    else:
        out.print("[bold]Parley[/bold] is up.")
    for name, value in (lines | login).items():  # the password is for who sits here, not for what keeps the log
        out.print(f"  {name:<9} {value}", markup=False, soft_wrap=True)
    for warning in warnings if lines else ():
        out.print(f"  [yellow]![/yellow] {warning}", soft_wrap=True)


def _log_introduction(lines: dict[str, str], warnings: list[str]) -> None:
    import structlog

    log = structlog.get_logger(__name__)
    log.info("parley is up", **{name.lower(): value for name, value in lines.items()})
    for warning in warnings:
        log.warning("something is missing before calls can come in", what=warning)


def _missing(settings: "Settings", any_personas: bool, any_numbers: bool) -> list[str]:
    from agent.settings import misspelt

    missing = [f"{name} is no setting; did you mean {meant}?" for name, meant in misspelt().items()]
    if not settings.auth_tokens:
        missing.append("PARLEY_TWILIO_AUTH_TOKEN is not set: every call is refused until it is.")
    if not settings.public_url.startswith("https:"):
        missing.append(
            "PARLEY_PUBLIC_URL is not an https address: Twilio can't reach this server, only a simulated phone."
        )
    if settings.peer_origin.startswith("http:") and settings.host in ("127.0.0.1", "::1", "localhost"):
        missing.append(f"PARLEY_HOST is {settings.host}: no other machine reaches PARLEY_PEER_ADDRESS; 0.0.0.0 is all.")
    if not any_personas:
        missing.append("There are no personas: `parley personas import` adds the library's.")
    if not any_numbers:
        missing.append("No phone number has a persona: `parley numbers set +15550100 PERSONA`.")
    return missing


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)
