"""`parley serve`: the server that answers calls and shows the console."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from agent.server import RunningServer
    from agent.settings import Settings


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on, instead of PARLEY_HOST; 0.0.0.0 means all.")] = "",
    port: Annotated[
        int,
        typer.Option(min=-1, max=65_535, help="Port, instead of PARLEY_PORT; 0 takes a free one.", show_default=False),
    ] = -1,
) -> None:
    """Answer calls and show the console, until it is told to stop (Ctrl+C or SIGTERM); live calls get their rows."""
    from uvicorn.loops.auto import auto_loop_factory

    from agent.logs import configure_logging
    from agent.settings import load

    overrides = ({"host": host} if host else {}) | ({"port": port} if port >= 0 else {})
    settings = load(**overrides)
    configure_logging(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_serve(settings))


async def _serve(settings: "Settings") -> None:
    import signal

    from rich.console import Console

    from agent.server import serving

    async with serving(settings) as server:
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, server.stop)
        await _introduce(server, Console(stderr=True, highlight=False))
        await server.wait()


async def _introduce(server: "RunningServer", out: "Console") -> None:
    """Say where everything is, and what is still missing before a call can come in."""
    from sqlalchemy.engine import make_url

    state = server.app.state
    settings: Settings = state.settings
    numbers = await state.personas.numbers()
    personas = await state.personas.personas()
    capacity = state.engine.capacity()
    lines = {
        "Console": f"{server.url}/",
        "Engine": f"{state.engine.name}, {capacity.slots} calls at once",
        "Database": make_url(settings.database).render_as_string(hide_password=True),
        "Personas": f"{len(personas)}, on {len(numbers)} phone numbers",
        "Webhook": f"{settings.origin}/twilio/voice  (Twilio: number → Voice → A call comes in, HTTP POST)",
    }
    if state.admin_password:
        lines["Login"] = f"admin / {state.admin_password}  (shown only now)"
    out.print("[bold]Parley[/bold] is up.")
    for name, value in lines.items():
        out.print(f"  {name:<9} {value}", markup=False, soft_wrap=True)
    for warning in _missing(settings, bool(personas), bool(numbers)):
        out.print(f"  [yellow]![/yellow] {warning}", soft_wrap=True)


def _missing(settings: "Settings", any_personas: bool, any_numbers: bool) -> list[str]:
    missing = []
    if not settings.auth_tokens:
        missing.append("PARLEY_TWILIO_AUTH_TOKEN is not set: every call is refused until it is.")
    if not settings.public_url.startswith("https:"):
        missing.append(
            "PARLEY_PUBLIC_URL is not an https address: Twilio can't reach this server, only a simulated phone."
        )
    if not any_personas:
        missing.append("There are no personas: `parley personas import` adds the library's.")
    if not any_numbers:
        missing.append("No phone number has a persona: `parley numbers set +15550100 PERSONA`.")
    return missing


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)
