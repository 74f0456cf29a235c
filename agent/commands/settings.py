"""`parley settings`: every setting with its value, or the reference page of the documentation."""

import re
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich import box
from rich.console import Console
from rich.table import Table

HEAD = """# Settings

Read from environment variables, or from a file `.env` in the working directory; the environment wins.
This page is printed by `parley settings --markdown`; a test compares the two.

| variable | default | what it does |
|---|---|---|
"""


def as_markdown() -> str:
    """Return docs/settings.md: one row a setting, in the order of agent/settings.py."""
    from agent.settings import Settings

    rows = []
    for name, field in Settings.model_fields.items():
        rows.append(f"| `PARLEY_{name.upper()}` | {_shown(field.default, '`{}`')} | {field.description} |\n")
    return HEAD + "".join(rows)


def _shown(value: Any, form: str = "{}") -> str:
    """Return a setting's value for a person; a secret is never shown, only that it is set."""
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(empty)"
    if "://" in str(value):
        value = re.sub(r"(?<=://)([^/@]*):[^/]*@", r"\1:***@", str(value))  # as a database's URL may hold one
    return form.format(value) if str(value) else "(empty)"


def show(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference page instead.")] = False,
) -> None:
    """Show every setting with the value in force; secrets are not printed."""
    if markdown:
        typer.echo(as_markdown(), nl=False)
        return
    from agent.settings import Settings, settings

    table = Table("variable", "value", "what it does", box=box.SIMPLE)
    for name, field in Settings.model_fields.items():
        table.add_row(f"PARLEY_{name.upper()}", _shown(getattr(settings(), name)), field.description)
    Console().print(table)


def register(app: typer.Typer) -> None:
    app.command("settings")(show)
