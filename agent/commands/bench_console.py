"""`parley bench console`: the console's pages, downloads and log with as many calls as a contact center has."""

import asyncio
import json
from typing import Annotated, Any

import typer

from agent.commands.bench import group_of

Calls = Annotated[int, typer.Option(min=100, max=5_000_000, help="Calls in the database, 90 days of them.")]
Times = Annotated[int, typer.Option(min=1, max=1_000, help="How often each page is read.")]
Url = Annotated[
    str, typer.Option("--database-url", help="An empty PostgreSQL database, which keeps what is made; else SQLite.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed makes the same calls, up to now.")]
Only = Annotated[str, typer.Option(help="Read only pages with this in their name, e.g. overview.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def register(app: typer.Typer) -> None:
    group_of(app).command("console")(console)


def console(
    calls: Calls = 100_000,
    times: Times = 20,
    database_url: Url = "",
    seed: Seed = 0,
    only: Only = "",
    as_json: Json = False,
) -> None:
    """Fill a scratch database with a contact center's calls and read every page of the console, as a user does.

    Beside each page: how late the server's event loop was meanwhile, which is what calls that live would wait for.
    Then what a call costs the log, alone and while heavy pages are read. All of it with 1 000 calls too.
    """
    import tempfile
    from pathlib import Path

    from rich.console import Console

    from agent.bench.console.filling import NotEmpty
    from agent.bench.console.run import Plan, measure
    from agent.bench.gateway.processes import BenchFailed

    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        Console(stderr=True).status("Measuring …") as status,
    ):
        url = database_url or f"sqlite+aiosqlite:///{folder}/parley.db"
        try:
            plan = Plan(url, Path(folder), calls, times, seed, only)
            found = asyncio.run(measure(plan, lambda what: status.update(f"{what} …")))
        except (NotEmpty, BenchFailed) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    out = Console()
    few, many = found["sizes"][0], found["sizes"][-1]
    out.print(
        f"{found['database']}, {many['calls']:,} calls: {many['database_mb']:,.0f} MB, {many['bytes_a_call']:,} bytes "
        f"a call; {found['times']} readings a page, milliseconds",
        highlight=False,
    )
    head = ("", "First byte", "Whole p50", "p95", "max", "First time", "KB", "Loop lag p95", "max", "Peak MB")
    table = Table(*head, f"{few['calls']:,} calls p50", "Ratio")
    for small, page in zip(few["pages"], many["pages"], strict=True):
        whole, lag = page["whole_ms"], page["loop_lag_ms"]
        ratio = whole["p50"] / small["whole_ms"]["p50"]
        figures = (page["first_byte_ms"]["p50"], *whole.values(), page["first_time_ms"], page["bytes"] / 1000)
        cells = [f"{each:,.1f}" for each in (*figures, *lag.values(), page["memory_mb"], small["whole_ms"]["p50"])]
        table.add_row(page["page"], *cells, f"{ratio:.1f}")
    out.print(table)
    log = Table("A call in the log", "Alone p50", "p95", "max", "Beside pages p50", "p95", "max", "1,000 calls p50")
    for step, figures in many["log_ms"].items():
        cells = (*figures["alone"].values(), *figures["beside"].values(), few["log_ms"][step]["alone"]["p50"])
        log.add_row(step, *(f"{each:,.1f}" for each in cells))
    out.print(log)
