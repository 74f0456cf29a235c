"""`parley audit`: who did what in the console and on the command line."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from personas.audit import AuditFilter, AuditPage

_DAY = typer.Option(help="A day like 2026-11-21, of PARLEY_TIME_ZONE; included.")


def audit(
    user: Annotated[str, typer.Option(help="Only what this user did.")] = "",
    action: Annotated[str, typer.Option(help="Only this action, e.g. persona_published.")] = "",
    since: Annotated[str, _DAY] = "",
    until: Annotated[str, _DAY] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most entries to print, newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show who did what: sign-ins, changes, calls opened, heard and ended; the newest first."""
    import json
    from dataclasses import asdict
    from zoneinfo import ZoneInfo

    from agent.settings import settings
    from personas.audit import Action, AuditFilter
    from personas.days import begin_of_typed

    if action and action not in set(Action):
        raise typer.BadParameter(f"--action is one of {', '.join(Action)}")
    zone = ZoneInfo(settings().time_zone)
    try:
        days = begin_of_typed(since, zone), begin_of_typed(until, zone, after=1)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    entries = asyncio.run(_entries(AuditFilter(user, action, *days), limit)).entries
    if as_json:
        typer.echo(json.dumps([asdict(each) | {"at": each.at.isoformat()} for each in entries], indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("when", "who", "what", "on what", "detail", box=box.SIMPLE)
    for each in entries:
        who = each.actor.name if each.actor.via == "console" else f"{each.actor.name} ({each.actor.via})"
        what = " ".join(filter(None, (each.subject.kind, each.subject.id)))
        at = f"{each.at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        table.add_row(at, escape(who), each.action, escape(what), escape(each.detail))
    Console().print(table)


async def _entries(where: "AuditFilter", limit: int) -> "AuditPage":
    from agent.settings import settings
    from personas import migrate
    from personas.audit import AuditLog

    async with migrate.opened(settings().database) as database:
        return await AuditLog(database).entries(where, limit=limit)


def register(app: typer.Typer) -> None:
    app.command()(audit)
