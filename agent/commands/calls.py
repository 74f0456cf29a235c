"""`parley calls`: how long calls are kept, what is kept longer, what goes, and a person's copy of what there is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from crm.disclosure import Disclosure
    from crm.erasure import Done, Erasures, Plan, Whose
    from crm.holds import Holds
    from crm.keeping import Due, Keeper

T = TypeVar("T")
calls = typer.Typer(help="Erase, hold and hand out calls, and what is known of callers.", no_args_is_help=True)
_ID = typer.Argument(help="The call's id: the last part of its page's address.", show_default=False)
CallId = Annotated[str, _ID]
Caller = Annotated[
    str,
    typer.Option(help="The caller's number, e.g. +49301234567, or their SIP address; - reads it from standard input."),
]


@calls.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Look every ten minutes, until stopped (Ctrl+C or SIGTERM).")
    ] = False,
    beside: Annotated[bool, typer.Option(hidden=True, help="Follow as long as standard input is open.")] = False,
) -> None:
    """Remove what is older than PARLEY_KEEP_RECORDINGS_DAYS and PARLEY_KEEP_CALLS_DAYS, and finish begun erasures.

    `parley serve` does it by itself. Any number may run at the same time. Exit code 1 when a file can't be removed.
    """
    if dry_run and follow:
        raise typer.BadParameter("--dry-run and --follow exclude each other")
    if follow:
        asyncio.run(_follow(beside))
    elif dry_run:
        typer.echo(_due(_with(lambda records: records.keeper.due())))
    else:
        _tell(_with(lambda records: records.keeper.sweep()))


@calls.command()
def erase(
    call_id: CallId = "",
    caller: Caller = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to do it.")] = False,
) -> None:
    """Erase all that is personal of a call with its parts, or of a caller: their calls, recordings and profile.

    What the overview counts stays, with nothing that tells whose call it was.
    """
    if bool(call_id) == bool(caller):
        raise typer.BadParameter("give either CALL_ID or --caller")
    whose = _whose(call_id, caller)
    plan = _with(lambda records: records.erasures.plan(whose))
    typer.echo(_planned(plan))
    if plan.obstacle:
        typer.echo(f"Not erased. {plan.obstacle}", err=True)
        raise typer.Exit(1)
    if not yes:
        typer.confirm("Erase it? Nothing brings it back", abort=True)
    _tell(_with(lambda records: records.erasures.erase(whose)))


@calls.command()
def hold(
    call_id: CallId,
    reason: Annotated[str, typer.Option(help="Why it is kept, for whoever wants to erase it.", show_default=False)],
) -> None:
    """Keep a call, with its parts, from being erased by time or on request, until it is released."""
    _with(lambda records: records.holds.hold(call_id, reason))
    typer.echo(f"{call_id} is on hold; `parley calls release {call_id}` lets it go.")


@calls.command()
def release(call_id: CallId) -> None:
    """Let a call on hold go: it is kept as long as any other from now on."""
    _with(lambda records: records.holds.release(call_id))
    typer.echo(f"{call_id} is not on hold.")


@calls.command()
def held() -> None:
    """List the calls on hold: id, day, who holds it, and why."""
    for call in _with(lambda records: records.holds.held()):
        if call.hold:
            typer.echo(f"{call.id}  {call.created_at:%Y-%m-%d}  {call.hold.by}: {call.hold.reason}")


@calls.command()
def export(
    caller: Caller,
    to: Annotated[Path, typer.Option(help="The ZIP file to write; one that is there is replaced.", show_default=False)],
) -> None:
    """Write all that is kept of a caller into a ZIP file: profile, calls with their words as JSON, recordings."""
    number = _whose("", caller).number
    written = _with(lambda records: _write(records.disclosure, number, to))
    typer.echo(f"{to}: {written:,} bytes, for the caller's eyes only.")


@dataclass(frozen=True, slots=True)
class _Records:
    """What the settings' database and data folder keep."""

    erasures: "Erasures"
    keeper: "Keeper"
    holds: "Holds"
    disclosure: "Disclosure"


@contextlib.asynccontextmanager
async def _opened() -> AsyncIterator[_Records]:
    from agent import messages
    from agent.settings import settings
    from crm.disclosure import Disclosure
    from crm.erasure import Erasures
    from crm.holds import Holds
    from crm.keeping import Keeper, Limits
    from crm.recordings import Recordings
    from crm.store import CallStore
    from personas import migrate
    from personas.audit import command_line

    chosen = settings()
    recordings = Recordings(chosen.recordings)
    async with migrate.opened(chosen.database) as database:
        erasures = Erasures(database, recordings, messages.remover(messages.twilio(chosen)), actor=command_line())
        keeper = Keeper(erasures, Limits(chosen.keep_calls_days, chosen.keep_recordings_days))
        yield _Records(erasures, keeper, Holds(database, command_line()), Disclosure(CallStore(database), recordings))


def _with(work: Callable[[_Records], Awaitable[T]]) -> T:
    async def run() -> T:
        async with _opened() as records:
            return await work(records)

    return asyncio.run(run())


async def _follow(beside: bool) -> None:
    import signal
    import sys

    from agent.logs import configure_logging
    from agent.settings import settings
    from crm.keeping import keep

    configure_logging(settings().log_level, settings().log_format)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    if beside:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    async with _opened() as records:
        await keep(records.keeper, stop)


def _whose(call_id: str, caller: str) -> "Whose":
    import sys

    from crm.erasure import Whose
    from crm.phone_numbers import caller_of

    if call_id:
        return Whose(call_id)
    number = caller_of(sys.stdin.readline() if caller == "-" else caller)
    if not number:
        why = "give the whole number with its country code, e.g. +49 30 1234567, or the caller's SIP address"
        raise typer.BadParameter(why, param_hint="--caller")
    return Whose(number=number)


async def _write(disclosure: "Disclosure", number: str, to: Path) -> int:
    """Write an archive that nobody else may read, whole or not at all; return its length."""
    import os

    from crm.errors import CannotDisclose
    from personas.audit import command_line

    blocks, part, written = await disclosure.of_caller(number, command_line()), to.with_name(f".{to.name}.part"), 0
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            async for block in blocks:
                written += file.write(block)
        part.replace(to)
    except OSError as error:
        raise CannotDisclose(f"{to} can't be written ({error.strerror}).") from None
    finally:
        part.unlink(missing_ok=True)
    return written


def _due(due: "Due") -> str:
    lines = [f"Would go: {_count(due.calls, 'call')}, and {_count(due.recordings, 'recording')} of younger ones."]
    lines += [f"On hold, and would stay: {_count(due.held, 'call')}."] if due.held else []
    lines += [f"Begun, and would be finished: {_count(due.unfinished, 'call')}."] if due.unfinished else []
    return "\n".join(lines)


def _planned(plan: "Plan") -> str:
    profile = ", the customer's profile" if plan.has_profile else ""
    lines = [f"Goes: {_count(plan.calls, 'call')} (parts counted), {_count(plan.recordings, 'recording')}{profile}."]
    if plan.takes_messages and plan.messages:
        lines.append(f"Goes at the carrier: {_count(len(plan.messages), 'message')}.")
    elif plan.messages:
        lines += [f"Stays at the carrier, for you to remove there: the message {each}" for each in plan.messages]
    return "\n".join(lines)


def _tell(done: "Done") -> None:
    """Say what was removed; what could not be ends the command with 1."""
    typer.echo(f"Erased: {_count(done.calls, 'call')}, {_count(done.recordings, 'recording')}.")
    for call_id, why in done.stuck:
        typer.echo(f"{call_id}: {why} It is tried again; mend it, then `parley calls prune`.", err=True)
    if done.stuck:
        raise typer.Exit(1)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def register(app: typer.Typer) -> None:
    """Add `parley calls`."""
    app.add_typer(calls, name="calls")
