"""The commands of `parley`, a module each: the command line finds them by themselves.

A module holds ``register(app: typer.Typer) -> None`` and imports what it needs inside its
functions, so that `parley --help` stays quick.
"""
