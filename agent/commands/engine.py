"""`parley engine`: PersonaPlex behind /api/chat, one process a GPU."""

import asyncio
import sys
from typing import Annotated

import typer

Checkpoint = Annotated[
    str, typer.Option(help="Folder or Hub id of the model, instead of PARLEY_ENGINE_CHECKPOINT.", show_default=False)
]
Voices = Annotated[
    str, typer.Option(help="Folder of voices (WAV, .pt), instead of the checkpoint's own.", show_default=False)
]
Device = Annotated[str, typer.Option(help="cuda or cpu; empty takes a GPU where there is one.", show_default=False)]
Slots = Annotated[int, typer.Option(min=0, max=1_000, help="Most calls at once; 0 takes as many as memory holds.")]
Kv = Annotated[
    str, typer.Option(help="Keep keys and values in 8 bits: fp8, nearly twice the calls.", show_default=False)
]
Tiny = Annotated[bool, typer.Option("--tiny", help="A small model with random weights: it babbles, to try the rest.")]
Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 means all.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="TCP port; 0 takes a free one.")]
Token = Annotated[
    str, typer.Option(help="Bearer token that calls must show, instead of PARLEY_ENGINE_TOKEN.", show_default=False)
]
Drain = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=86_400,
        help="Seconds that live calls have once it is told to stop, instead of PARLEY_ENGINE_DRAIN_S.",
        show_default=False,
    ),
]

SWITCH_S = 0.0005
"""How long a thread waits for the interpreter, 5 ms else: the device's, while the event loop encodes 40 calls' Opus."""

RANDOM_WEIGHTS = "[yellow]![/yellow] This model has random weights: it babbles."


def engine(
    checkpoint: Checkpoint = "",
    voices: Voices = "",
    device: Device = "",
    slots: Slots = 0,
    kv: Kv = "",
    tiny: Tiny = False,
    host: Host = "127.0.0.1",
    port: Port = 8998,
    token: Token = "",
    drain: Drain = None,
) -> None:
    """Carry calls on PersonaPlex for any client of its protocol, `parley serve` with PARLEY_ENGINE=remote among them.

    /ready answers 200 once the model is loaded; /metrics is for Prometheus. At SIGTERM it takes no more calls and ends
    with the last that lives, after PARLEY_ENGINE_DRAIN_S at the latest; a second SIGTERM ends them at once.
    """
    from uvicorn.loops.auto import auto_loop_factory

    from agent.logs import configure_logging
    from agent.settings import settings
    from agent.tracing.export import exporting

    options = engine_options(checkpoint, voices, device, tiny=tiny, slots=slots, kv=kv)
    configure_logging(settings().log_level, settings().log_format)
    sys.setswitchinterval(SWITCH_S)
    drain_s = settings().engine_drain_s if drain is None else drain
    with exporting(settings(), "parley-engine"), asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_serve(options, host, port, token or settings().engine_token.get_secret_value(), drain_s))


def engine_options(
    checkpoint: str, voices: str, device: str, *, tiny: bool = False, slots: int = 0, kv: str = ""
) -> dict[str, str]:
    """Return PersonaPlex's options: the settings', with what is given on top; ``tiny`` is the checkpoint of that name.

    Raises:
        typer.BadParameter: a model and --tiny are both asked for.
    """
    from agent.settings import settings

    if tiny and checkpoint:
        raise typer.BadParameter("--tiny is a model of its own; leave out --checkpoint.")
    given = {
        "engine_checkpoint": "tiny" if tiny else checkpoint,
        "engine_voices": voices,
        "engine_device": device,
        "engine_slots": str(slots or ""),
        "engine_kv": kv,
    }
    return settings().engine_options() | {name: value for name, value in given.items() if value}


async def _serve(options: dict[str, str], host: str, port: int, token: str, drain_s: float) -> None:
    from agent.duplex import load_engine
    from agent.wire.sound import check_opus
    from agent.wire.token import check_token

    engine = load_engine("personaplex", options)
    check_opus()
    from rich.console import Console

    from agent.engines.personaplex.engine import PersonaPlexEngine
    from agent.engines.personaplex.server import ServerOptions, create_app, listen
    from agent.engines.personaplex.serving import serve
    from agent.tracing.chats import TracedChats

    check_token(token)
    assert isinstance(engine, PersonaPlexEngine)
    app = create_app(engine, engine.voices, ServerOptions(token=token))
    app.add_middleware(TracedChats)
    with listen(host, port) as listening:
        port = listening.getsockname()[1]
        out = Console(stderr=True, highlight=False)
        shown = f"[{host}]" if ":" in host else host
        out.print(f"[bold]Engine[/bold] at ws://{shown}:{port}/api/chat, loading {options['engine_checkpoint']} …")
        if options["engine_checkpoint"] == "tiny":
            out.print(RANDOM_WEIGHTS)
        await serve(app, listening, drain_s)


def register(app: typer.Typer) -> None:
    app.command("engine")(engine)
