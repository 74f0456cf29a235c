"""The command line, `parley …`; each command lives in agent/commands and imports what it needs when it runs."""

import os
import pkgutil
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from agent import commands

# NumPy reads this when it is loaded: with more threads its small products wait for each other, tenfold slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

app = typer.Typer(
    name="parley",
    help="Answer phone calls with a full-duplex speech model, in the role a persona gives it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"parley {version('parley')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Answer phone calls with a full-duplex speech model, in the role a persona gives it."""


for _module in pkgutil.iter_modules(commands.__path__):
    import_module(f"agent.commands.{_module.name}").register(app)


def main() -> None:
    """Run the command line; a failure that a person can mend ends with one sentence and status 1."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, _expected()):
            raise
        typer.echo(f"parley: {error}", err=True)
        sys.exit(1)


def _expected() -> tuple[type[Exception], ...]:
    """Return the base errors of our packages; imported only once something went wrong."""
    from agent.duplex import DuplexError
    from agent.settings import SettingsError
    from crm.errors import CrmError
    from personas.errors import DatabaseError, PersonaError
    from telephony.errors import TelephonyError

    return DuplexError, SettingsError, CrmError, DatabaseError, PersonaError, TelephonyError


if __name__ == "__main__":
    main()
