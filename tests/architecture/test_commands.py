"""Every command has a help page that says what it does and what each option means."""

import pytest
import typer
from click import Command, Group

from agent.cli import app


def commands() -> list[tuple[str, Command]]:
    found: list[tuple[str, Command]] = []

    def walk(path: str, command: Command) -> None:
        found.append((path, command))
        if isinstance(command, Group):
            for name, child in command.commands.items():
                walk(f"{path} {name}", child)

    walk("parley", typer.main.get_command(app))
    return found


@pytest.mark.parametrize(("path", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_help_is_worth_reading(path: str, command: Command) -> None:
    assert command.help, path
    assert len(command.help.split()) >= 4, path
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{path}: {parameter.name} is not explained"
