"""`parley db`: create and update the tables of the database."""

import typer

db = typer.Typer(help="Create, update and check the database's tables.", no_args_is_help=True)


@db.command()
def upgrade() -> None:
    """Create the tables or bring them to this version; harmless when there is nothing to do."""
    from agent.settings import settings
    from personas import migrate

    url = settings().database
    before = migrate.current_revision(url)
    migrate.upgrade(url)
    after = migrate.newest_revision()
    if before == after:
        typer.echo(f"The database is up to date (revision {after}).")
    else:
        typer.echo(f"The database went from {f'revision {before}' if before else 'empty'} to revision {after}.")


@db.command()
def check() -> None:
    """Say whether the tables are this version's; exit code 1 when they are not."""
    from agent.settings import settings
    from personas import migrate
    from personas.db import DatabaseError

    current, newest = migrate.current_revision(settings().database), migrate.newest_revision()
    if current != newest:
        raise DatabaseError(
            f"The database is at revision {current or 'none'}, this version of Parley needs {newest}; "
            "run `parley db upgrade`."
        )
    typer.echo(f"The database is up to date (revision {newest}).")


def register(app: typer.Typer) -> None:
    app.add_typer(db, name="db")
