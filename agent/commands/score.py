"""`parley score`: hold calls to their personas' role cards, and show the verdicts with their quotes."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from crm.call import Scorecard
    from crm.scoring.controls import ProvenJudge, Tried
    from crm.store import CallStore
    from personas.store import PersonaStore

NO_JUDGE = "There is no judge: set PARLEY_JUDGE_BASE_URL and PARLEY_JUDGE_MODEL."
MARKS = {"pass": "[green]✓[/green]", "fail": "[red]✗[/red]", "na": "[dim]–[/dim]", "unresolved": "[yellow]?[/yellow]"}


def score(
    call_id: Annotated[
        str, typer.Argument(help="The call's id: the last part of its page's address.", show_default=False)
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="Score every call again; earlier scores are kept.")] = False,
    unscored: Annotated[bool, typer.Option("--unscored", help="Score the calls that have no score yet.")] = False,
    unjudged: Annotated[
        bool, typer.Option("--unjudged", help="Have the judge judge the calls that it could not be asked about.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Score each call when it has ended, until stopped (Ctrl+C or SIGTERM).")
    ] = False,
    beside: Annotated[bool, typer.Option(hidden=True, help="Follow as long as standard input is open.")] = False,
    check_judge: Annotated[
        bool, typer.Option("--check-judge", help="Have the judge (PARLEY_JUDGE_MODEL) judge the control cases.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score calls against the role card of the persona version that answered them.

    The score is the weight of what was kept over the weight of what came up; a critical failure caps it
    at 50 %. Coverage says how much of what came up could be decided. Scoring again adds a score.

    With PARLEY_JUDGE_BASE_URL a language model judges what the rules leave open, by three votes that must agree.
    Calls that were scored while it was away are judged by --follow when it is back, or by --unjudged.
    """
    if (bool(call_id) + every + unscored + unjudged + follow + check_judge) != 1:
        raise typer.BadParameter("give one of CALL_ID, --all, --unscored, --unjudged, --follow and --check-judge")
    if check_judge:
        _show_controls(asyncio.run(_controls()), as_json)
        return
    if follow:
        asyncio.run(_follow(as_json, beside))
        return
    results = asyncio.run(_judge_late() if unjudged else _score(call_id, every))
    if as_json:
        typer.echo(json.dumps([_plain(name, result) for name, result in results.items()], indent=2))
    else:
        _show(results)
    if call_id and isinstance(results[call_id], str):
        raise typer.Exit(1)


async def _score(call_id: str, every: bool) -> "dict[str, Scorecard | str]":
    """Each call's scorecard, or the sentence that says why it has none."""
    from agent.judging import proven
    from crm.errors import CrmError
    from crm.scoring import score_and_store

    results: dict[str, Scorecard | str] = {}
    async with _scoring() as (store, personas, judge):
        await proven(judge, "Scoring goes on without it, and the calls wait for it.")

        async def score(name: str) -> None:
            try:
                results[name] = await score_and_store(store, personas, name, judge)
            except CrmError as error:
                results[name] = str(error)

        for name in [call_id] if call_id else await store.scorable() if every else ():
            await score(name)
        while not (call_id or every) and (name := await store.take_unscored(results)):
            await score(name)
            if isinstance(results[name], str):
                await store.put_off(name, None)
    return results


async def _judge_late() -> "dict[str, Scorecard | str]":
    """The judged scorecards of the calls that wait for their judge, those that were given up too."""
    from crm.errors import CannotScore, JudgeUnavailable
    from crm.scoring import judge_late

    results: dict[str, Scorecard | str] = {}
    async with _scoring() as (store, personas, judge):
        if judge is None:
            raise JudgeUnavailable(NO_JUDGE)
        await judge.prove()
        while name := await store.take_unjudged(results, given_up=True):
            try:
                card = await judge_late(store, personas, name, judge)
            except CannotScore as error:
                await store.put_off(name, None, 0)
                results[name] = str(error)
            else:
                results[name] = card or "The judge has not judged this call; its score is the rules'."
    return results


async def _follow(as_json: bool, beside: bool) -> None:
    import signal
    import sys
    from zoneinfo import ZoneInfo

    from agent.settings import settings
    from crm.analytics import Analytics
    from crm.scoring.following import score_as_they_end

    def tell(call_id: str, card: "Scorecard") -> None:
        total = "nothing applied" if card.score is None else f"{card.score:.0%}"
        typer.echo(
            json.dumps(_plain(call_id, card)) if as_json else f"{call_id}  {total}, coverage {card.coverage:.0%}"
        )

    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    if beside:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    async with _scoring() as (store, personas, judge), asyncio.TaskGroup() as group:
        ahead = group.create_task(Analytics(store.database).count_ahead(ZoneInfo(settings().time_zone), stop))
        await score_as_they_end(store, personas, stop, tell, judge=judge)
        ahead.cancel()


async def _controls() -> "list[Tried]":
    """What the settings' judge makes of the control cases."""
    from agent.judging import settings_judge
    from crm.errors import JudgeUnavailable
    from crm.scoring.controls import tried

    async with settings_judge() as judge:
        if judge is None:
            raise JudgeUnavailable(NO_JUDGE)
        return await tried(judge.judge)


@asynccontextmanager
async def _scoring() -> "AsyncIterator[tuple[CallStore, PersonaStore, ProvenJudge | None]]":
    """The settings' database, which must be up to date, and judge; log lines go to standard error from now on."""
    from agent.judging import settings_judge
    from agent.logs import configure_logging
    from agent.settings import settings
    from crm.store import CallStore
    from personas import migrate
    from personas.store import PersonaStore

    configure_logging(settings().log_level, settings().log_format)
    async with migrate.opened(settings().database) as database, settings_judge() as judge:
        yield CallStore(database), PersonaStore(database), judge


def _plain(name: str, result: "Scorecard | str") -> dict[str, Any]:
    if isinstance(result, str):
        return {"call_id": name, "error": result}
    return {"call_id": name, **asdict(result)}


def _show(results: "dict[str, Scorecard | str]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not results:
        console.print("There is nothing to score: no call waits for it.")
    for name, result in results.items():
        if isinstance(result, str):
            typer.echo(f"{name}: {result}", err=True)
            continue
        total = "nothing applied" if result.score is None else f"{result.score:.0%}"
        table = Table(title=f"{name}: {total}, coverage {result.coverage:.0%}", title_justify="left", expand=True)
        for column in ("", "criterion", "the agent's words", "why"):
            table.add_column(column, ratio=None if not column else 2)
        for verdict in result.verdicts:
            if verdict.result != "na":
                quote = f"“{escape(verdict.quote)}”" if verdict.quote else ""
                table.add_row(MARKS[verdict.result], escape(verdict.text), quote, escape(verdict.reason))
        console.print(table)
        left_out = sum(verdict.result == "na" for verdict in result.verdicts)
        console.print(f"[dim]{left_out} criteria did not come up.[/dim]\n")


def _show_controls(found: "list[Tried]", as_json: bool) -> None:
    """Print what was found of each control case; a wrong one ends the command with 1."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if as_json:
        plain = [{"case": each.control.name, "wanted": each.control.wanted, "found": each.found} for each in found]
        typer.echo(json.dumps(plain, indent=2))
    else:
        table = Table("", "control case", "wanted", "found", "why")
        for each in found:
            mark = MARKS["pass" if each.right else "fail"]
            table.add_row(mark, escape(each.control.name), each.control.wanted, each.found, escape(each.reason))
        Console().print(table)
    if not all(each.right for each in found):
        typer.echo("This model may not judge calls.", err=True)
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add `parley score`."""
    app.command()(score)
