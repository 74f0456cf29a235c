"""`parley bench gateway`: what a phone call costs, and how late it is, beside bare sockets and stock pipecat."""

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from agent.commands.bench import group_of

Calls = Annotated[str, typer.Option(help="Numbers of calls at once in one process, comma-separated.")]
Seconds = Annotated[
    float, typer.Option(min=4, max=3_600, help="Seconds of calls for each number and system, in two rounds.")
]
Baselines = Annotated[
    bool, typer.Option("--baselines/--no-baselines", help="Measure bare websockets and stock pipecat in the same run.")
]
Stall = Annotated[
    bool, typer.Option("--stall", help="Stop the server's event loop twice for 300 ms; report when latency is normal.")
]
Soak = Annotated[
    float, typer.Option(min=0, max=1_440, help="Keep the calls up for so many minutes, and report whether all is flat.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def register(app: typer.Typer) -> None:
    group_of(app).command("gateway")(gateway)


def gateway(
    calls: Calls = "1,10,20,40",
    seconds: Seconds = 20.0,
    baselines: Baselines = True,
    stall: Stall = False,
    soak: Soak = 0.0,
    as_json: Json = False,
) -> None:
    """Call a gateway from another process with the engine loopback: mouth-to-ear latency, CPU and memory of a call.

    Latency is found in the audio itself: bursts of noise that each phone says are looked for in what it heard. With
    --stall or --soak only that is done, at the last of --calls.
    """
    from rich.console import Console

    from agent.bench.gateway.processes import BenchFailed

    numbers = _numbers(calls)
    with Console(stderr=True).status("Measuring …") as status:

        def done(what: str) -> None:
            status.update(f"Measuring {what} …")

        try:
            if stall or soak:
                _disturb(numbers[-1], stall, soak, as_json, done)
                return
            found = _measure(numbers, seconds, baselines, done)
        except BenchFailed as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
    _print(found, as_json)


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 0 < int(part) <= 1_000 for part in parts):
        raise typer.BadParameter(f"--calls takes whole numbers from 1 to 1000, comma-separated, not {text!r}.")
    return [int(part) for part in parts]


def _measure(numbers: list[int], seconds: float, baselines: bool, done: Any) -> Mapping[str, Any]:
    from agent.bench.gateway.processes import PARLEY, SYSTEMS
    from agent.bench.gateway.run import measure

    systems = [system for system in SYSTEMS if system is PARLEY or (baselines and system.is_here)]
    if baselines and len(systems) == 1:
        typer.echo("The baselines are in tests/benchmarks of Parley's source, which is not here.", err=True)
    return asyncio.run(measure(systems, numbers, seconds, done))


def _disturb(calls: int, stall: bool, soak: float, as_json: bool, done: Any) -> None:
    """Stall or soak, and print what came of it; a soak that is not flat exits with 1."""
    from agent.bench.gateway.soak import soak as soak_calls
    from agent.bench.gateway.stall import measure_stalls

    found: dict[str, Any] = {}
    if stall:
        found["stall"] = asyncio.run(measure_stalls(calls, done)).as_json()
    if soak:
        found["soak"] = asyncio.run(soak_calls(calls, soak, done)).as_json()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for sentence in _sentences(found):
            typer.echo(sentence)
    if soak and not found["soak"]["flat"]:
        raise typer.Exit(1)


def _sentences(found: Mapping[str, Any]) -> list[str]:
    said = []
    if one := found.get("stall"):
        back = "never" if one["recovered_s"] is None else f"{one['recovered_s']} s after the last stall"
        said.append(
            f"{one['stalls']} stalls of {one['stall_ms']} ms at {one['calls']} calls: latency p95 before "
            f"{one['normal_p95_ms']} ms, worst {one['worst_ms']} ms, normal again {back}; "
            f"{one['lost_bursts']} bursts lost."
        )
    if one := found.get("soak"):
        left = ", ".join(f"{count} {name}" for name, count in one["left_over"].items())
        said.append(
            f"{one['minutes']:g} minutes at {one['calls']} calls, {one['calls_held']} calls in all: memory "
            f"{one['idle']['memory_mb']} MB before, {one['after']['memory_mb']} MB after, growing by "
            f"{one['memory_growth_mb_per_hour']} MB an hour in the second half; left over: {left}. "
            f"{'Flat.' if one['flat'] else 'NOT flat.'}"
        )
        said += one["errors"]
    return said


def _print(found: Mapping[str, Any], as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from agent.bench.gateway import figures

    rows = figures.as_json(found)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        columns = ("", "calls", "CPU a call, %", "memory a call, MB", "latency p50 / p95 / p99, ms")
        columns += ("of first bursts p50 / p95 / max, ms", "out / in", "loop lag p95, ms")
        table = Table(*columns, title="Gateway: one process, one core")
        for name, some in rows.items():
            for row in some:
                latency, first = (" / ".join(map(str, row[key].values())) for key in ("latency_ms", "first_burst_ms"))
                cells = (row["calls"], row["cpu_per_call_pct"], row["memory_per_call_mb"], latency, first)
                table.add_row(name, *map(str, (*cells, row["real_time_ratio"], row["loop_lag_ms"]["p95"])))
        Console().print(table)
    load = figures.load_figures(found)
    typer.echo(f"The load itself: {load['cpu_pct']} % of a core, {load['lateness_p95_ms']} ms late (p95).", err=True)
    for complaint in figures.complaints(found):
        typer.echo(complaint, err=True)
