"""`parley users`: who may sign in to the console."""

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from personas.accounts import Accounts

T = TypeVar("T")
users = typer.Typer(no_args_is_help=True, help="Say who may sign in to the console.")
Name = Annotated[str, typer.Argument(help="The user's name, as typed on the sign-in page; case doesn't matter.")]
FromStdin = Annotated[
    bool,
    typer.Option("--stdin", help="Read the password from the first line of standard input instead of asking for it."),
]
MakeUp = Annotated[bool, typer.Option("--make-up", help="Make up a password and print it.")]


@users.command("add")
def add(name: Name, stdin: FromStdin = False, make_up: MakeUp = False) -> None:
    """Add a user; asks for the password."""
    password = _password(stdin, make_up)
    _with_accounts(lambda accounts: accounts.add(name, password))
    typer.echo(password if make_up else f"{name} may sign in now.")


@users.command("set-password")
def set_password(name: Name, stdin: FromStdin = False, make_up: MakeUp = False) -> None:
    """Give a user a new password, which signs them out everywhere; asks for it."""
    password = _password(stdin, make_up)
    _with_accounts(lambda accounts: accounts.set_password(name, password))
    typer.echo(password if make_up else f"{name} has a new password.")


@users.command("remove")
def remove(name: Name) -> None:
    """Remove a user, who is signed out by that; the last one stays."""
    _with_accounts(lambda accounts: accounts.remove(name))
    typer.echo(f"{name} may no longer sign in.")


@users.command("list")
def list_users() -> None:
    """Print every user's name, one a line."""
    for name in _with_accounts(lambda accounts: accounts.names()):
        typer.echo(name)


def _password(stdin: bool, make_up: bool) -> str:
    if stdin and make_up:
        raise typer.BadParameter("--stdin and --make-up exclude each other")
    if make_up:
        return secrets.token_urlsafe(12)
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return typer.prompt("Password", hide_input=True, confirmation_prompt=True)


def _with_accounts(work: Callable[["Accounts"], Awaitable[T]]) -> T:
    from agent.settings import settings
    from personas import migrate
    from personas.accounts import Accounts
    from personas.audit import command_line

    async def run() -> T:
        async with migrate.opened(settings().database) as database:
            return await work(Accounts(database, command_line()))

    return asyncio.run(run())


def register(app: typer.Typer) -> None:
    app.add_typer(users, name="users")
