"""The commands of `parley`, a module each; a module's ``register(app)`` adds what it holds."""

from collections.abc import Callable

import typer

COMMANDS: list[Callable[[typer.Typer], None]] = []
