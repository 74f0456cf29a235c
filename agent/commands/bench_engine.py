"""`parley bench engine`: how many calls a device carries on PersonaPlex, and how fast; random weights of any shape."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from agent.duplex import EngineUnavailable

Shape = Annotated[str, typer.Option(help="Model shape: tiny, small (for a CPU) or published.")]
Device = Annotated[str, typer.Option(help="cuda or cpu; empty takes a GPU where there is one.")]
Slots = Annotated[str, typer.Option(help="Numbers of calls to tick at once, comma-separated.")]
Rings = Annotated[str, typer.Option(help="Steps that the calls' rings hold, comma-separated; 12.5 steps are a second.")]
Seconds = Annotated[float, typer.Option(min=0.1, help="Seconds of calls for each number of slots.")]
RealTime = Annotated[bool, typer.Option("--real-time", help="Begin a tick every 80 ms, as in calls, not at once.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def register(app: typer.Typer) -> None:
    """Join the group that agent.commands.bench has registered before: modules register in the order of their names."""
    bench = next(group.typer_instance for group in app.registered_groups if group.name == "bench")
    assert bench is not None
    bench.command("engine")(engine)


def engine(
    shape: Shape = "tiny",
    device: Device = "",
    slots: Slots = "1,8",
    rings: Rings = "300",
    seconds: Seconds = 10.0,
    real_time: RealTime = False,
    as_json: Json = False,
) -> None:
    """Tick calls on PersonaPlex with random weights: durations, late frames, role prompts, memory.

    In the same run: a role prompt of 300 frames in one pass against step by step, and 8 calls in one step
    against one.
    """
    from rich.console import Console

    from agent.engines.personaplex import require_packages

    require_packages()
    from agent.engines.personaplex.engine import default_device, device_of
    from agent.engines.personaplex.measure import Plan, measure
    from agent.logs import configure_logging

    configure_logging("warning")
    chosen = str(device_of(device or default_device()))
    plan = Plan(shape, chosen, _numbers("--slots", slots), _numbers("--rings", rings), seconds, real_time)
    with Console(stderr=True).status("Measuring …") as status:
        try:
            found = measure(plan, lambda what: status.update(f"Measuring {what} …"))
        except ValueError as error:
            raise EngineUnavailable(str(error)) from error
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print_tables(found, Console())


def _numbers(option: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"{option} takes whole numbers, comma-separated, not {text!r}.")
    return tuple(int(part) for part in parts)


def _print_tables(found: Mapping[str, Any], console: Any) -> None:
    from rich.table import Table

    columns = ("slots", "ring", "p50_ms", "p95_ms", "p99_ms", "max_ms", "late")
    table = Table(*columns, title=f"Ticks, shape {found['shape']}, on {found['device']}")
    for row in found["ticks"]:
        table.add_row(*(str(row[name]) for name in columns))
    console.print(table)
    ready = found["ready_ms"]
    console.print(
        f"Role prompt of 300 frames: {ready['cold']} ms cold, {ready['voice_cached']} ms with its voice kept, "
        f"{ready['prompt_cached']} ms kept whole."
    )
    console.print(f"Prefill is {found['prefill_vs_stepping']} times as fast as stepping.")
    console.print(f"8 calls in one step have {found['batch_vs_alone']} times the throughput of one.")
    console.print(f"Memory: {found['memory_bytes'] / 2**30:.2f} GiB.")
