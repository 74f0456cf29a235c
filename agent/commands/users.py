"""`parley users`: who may sign in to the console."""

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from personas.accounts import Accounts
    from personas.roles import Role

T = TypeVar("T")
users = typer.Typer(no_args_is_help=True, help="Say who may sign in to the console, and what they may do there.")
Name = Annotated[str, typer.Argument(help="The user's name, as typed on the sign-in page; case doesn't matter.")]
FromStdin = Annotated[
    bool,
    typer.Option("--stdin", help="Read the password from the first line of standard input instead of asking for it."),
]
MakeUp = Annotated[bool, typer.Option("--make-up", help="Make up a password and print it.")]


@users.command("add")
def add(
    name: Name,
    role: Annotated[
        str, typer.Option(help="analyst, editor or admin; the first user is admin, others are analysts.")
    ] = "",
    stdin: FromStdin = False,
    make_up: MakeUp = False,
) -> None:
    """Add a user; asks for the password."""
    wanted = _role(role) if role else None
    password = _password(stdin, make_up)
    user = _with_accounts(lambda accounts: accounts.add(name, password, wanted))
    typer.echo(password if make_up else f"{user.name} may sign in now, as {user.role}.")


@users.command("set-role")
def set_role(name: Name, role: Annotated[str, typer.Argument(help="analyst, editor or admin.")]) -> None:
    """Give a user another role, from their next page on; the last admin stays one."""
    wanted = _role(role)
    _with_accounts(lambda accounts: accounts.set_role(name, wanted))
    typer.echo(f"{name} is {wanted} now.")


@users.command("set-password")
def set_password(name: Name, stdin: FromStdin = False, make_up: MakeUp = False) -> None:
    """Give a user a new password, which signs them out everywhere; asks for it."""
    password = _password(stdin, make_up)
    _with_accounts(lambda accounts: accounts.set_password(name, password))
    typer.echo(password if make_up else f"{name} has a new password.")


@users.command("sign-out")
def sign_out(name: Name) -> None:
    """End all sessions of a user."""
    _with_accounts(lambda accounts: accounts.sign_out(name))
    typer.echo(f"{name} is signed out everywhere.")


@users.command("remove")
def remove(name: Name) -> None:
    """Remove a user, who is signed out by that; the last admin stays."""
    _with_accounts(lambda accounts: accounts.remove(name))
    typer.echo(f"{name} may no longer sign in.")


@users.command("list")
def list_users() -> None:
    """Print every user's name, role and how they sign in, one user a line."""
    for user in _with_accounts(lambda accounts: accounts.users()):
        typer.echo(f"{user.name}\t{user.role}\t{'single sign-on' if user.is_sso else 'password'}")


def _role(name: str) -> "Role":
    from personas.roles import Role

    if name not in set(Role):
        raise typer.BadParameter(f"a role is {', '.join(Role)}")
    return Role(name)


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
