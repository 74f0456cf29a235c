"""`parley bench engine`: how many calls a device carries on PersonaPlex, and how fast; random weights of any shape."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from agent.commands.bench import group_of
from agent.duplex import EngineUnavailable

Shape = Annotated[str, typer.Option(help="Model shape: tiny, small (for a CPU) or published.")]
Device = Annotated[str, typer.Option(help="cuda or cpu; empty takes a GPU where there is one.")]
Slots = Annotated[str, typer.Option(help="Numbers of calls to tick at once, comma-separated.")]
Rings = Annotated[str, typer.Option(help="Steps that the calls' rings hold, comma-separated; 12.5 steps are a second.")]
Seconds = Annotated[float, typer.Option(min=0.1, max=86_400, help="Seconds of calls for each number of slots.")]
RealTime = Annotated[bool, typer.Option("--real-time", help="Begin a tick every 80 ms, as in calls, not at once.")]
Kv = Annotated[str, typer.Option(help="Keep keys and values in 8 bits: fp8.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def register(app: typer.Typer) -> None:
    group_of(app).command("engine")(engine)


def engine(
    shape: Shape = "tiny",
    device: Device = "",
    slots: Slots = "1,8",
    rings: Rings = "300",
    seconds: Seconds = 10.0,
    real_time: RealTime = False,
    kv: Kv = "",
    as_json: Json = False,
) -> None:
    """Tick calls on PersonaPlex with random weights: durations, late frames, role prompts, memory.

    In the same run: a role prompt of 300 frames in one pass against step by step, and 8 calls in one tick
    against one; and what is wanted, beside what was found.
    """
    from rich.console import Console

    from agent.engines.personaplex import require_packages

    require_packages()
    from agent.engines.personaplex.engine import default_device, device_of
    from agent.engines.personaplex.measure import Plan, measure
    from agent.logs import configure_logging

    configure_logging("warning")
    chosen = str(device_of(device or default_device()))
    plan = Plan(shape, chosen, _numbers("--slots", slots), _numbers("--rings", rings), seconds, real_time, kv)
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
    title = f"Ticks, shape {found['shape']}, keys and values {found['kv']}, on {found['device']}"
    table = Table(*columns, title=title)
    for row in found["ticks"]:
        table.add_row(*(str(row[name]) for name in columns))
    console.print(table)
    ready = found["ready_ms"]
    console.print(
        f"Role prompt of 300 frames: {ready['cold']} ms cold, {ready['voice_cached']} ms with its voice kept, "
        f"{ready['prompt_cached']} ms kept whole."
    )
    console.print(f"Prefill is {found['prefill_vs_stepping']} times as fast as stepping.")
    console.print(f"8 calls in one tick have {found['batch_vs_alone']} times the throughput of one.")
    console.print(f"From a call's first frame to the first sound that answers it: {found['first_audio_ms']} ms.")
    console.print(f"Memory: {found['memory_bytes'] / 2**30:.2f} GiB.")
    wanted = Table("wanted", "found", title="Goals")
    for goal, value in goals(found):
        wanted.add_row(goal, value)
    console.print(wanted)


def goals(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what docs/benchmarks.md wants and what this run found of it; most of it needs a GPU."""

    def tick(slots: int, ring: int, name: str, kv: str = "bfloat16") -> str:
        rows = [row for row in found["ticks"] if (row["slots"], row["ring"]) == (slots, ring)]
        if not on_gpu or not rows or found["kv"] != kv:
            return "not measured"
        return f"{rows[0][name]} ms, {rows[0]['late']} frames late"

    on_gpu = found["shape"] == "published" and not found["device"].startswith("CPU")
    on_cpu = found["shape"] == "small" and found["device"].startswith("CPU")
    ready = found["ready_ms"]
    prompt = f"{ready['cold']} ms, {ready['prompt_cached']} ms" if on_gpu else "not measured"
    return [
        ("CPU, small: prefill ≥ 20 times as fast as stepping", _times(found, "prefill_vs_stepping", on_cpu)),
        ("CPU, small: 8 calls in one tick ≥ 5 times the throughput", _times(found, "batch_vs_alone", on_cpu)),
        ("GPU, published: one call's tick ≤ 10 ms, --slots 1 --rings 300", tick(1, 300, "p50_ms")),
        ("GPU, published: 32 calls' tick ≤ 35 ms, --slots 32 --rings 300", tick(32, 300, "p50_ms")),
        ("GPU, published: 40 calls, full rings, p99 ≤ 80 ms, --slots 40 --rings 3000", tick(40, 3000, "p99_ms")),
        ("… 80 calls, --slots 80 --rings 3000 --kv fp8", tick(80, 3000, "p99_ms", "fp8")),
        ("GPU, published: role prompt of 300 frames ≤ 150 ms cold, ≤ 10 ms kept", prompt),
    ]


def _times(found: Mapping[str, Any], name: str, measured: bool) -> str:
    return f"{found[name]} times" if measured else "not measured"
