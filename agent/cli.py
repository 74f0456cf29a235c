"""The command line, `parley …`; each command lives in agent/commands and imports what it needs when it runs."""

import sys

import typer

from agent.commands import COMMANDS

app = typer.Typer(
    name="parley",
    help="Answer phone calls with a full-duplex speech model, in the role a persona gives it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def main() -> None:
    """Run the command line; a failure that a person can mend ends with one sentence and status 1."""
    for register in COMMANDS:
        register(app)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
