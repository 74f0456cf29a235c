"""`parley customers`: who calls, and what agents are told of them."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from crm.customer import Customer
    from crm.customer_import import Report
    from crm.customers import CustomerPage, Customers

T = TypeVar("T")

customers = typer.Typer(help="Say who calls, and what agents are told of them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Number = Annotated[
    str, typer.Argument(help="One of the customer's numbers, with country code, e.g. +15550100.", show_default=False)
]
_CHUNK = 500  # rows at once: calls have other processes


@customers.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV in UTF-8 with the columns numbers, name, profile.", dir_okay=False, exists=True)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave bad rows out; without this one of them keeps all from being written."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add or change customers by a file: each row is a customer from now on, found by their numbers."""
    from crm.customer_import import import_customers

    async def run(store: "Customers") -> "Report":
        size = file.stat().st_size
        with file.open("rb") as source, _progress(size if dry_run else 2 * size) as on_bytes:
            return await import_customers(
                store, source, write=not dry_run, skip_bad=skip_bad, chunk=_CHUNK, on_bytes=on_bytes
            )

    report = _with_customers(run)
    _tell(report, dry_run, as_json)
    if report.bad_count and not skip_bad:
        raise typer.Exit(1)


@customers.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="Where to write the CSV; - is standard output.", dir_okay=False)],
    semicolons: Annotated[
        bool, typer.Option("--semicolons", help="Between cells, as spreadsheets of most of Europe want them.")
    ] = False,
) -> None:
    """Write all customers to a file that `parley customers import` reads back as they are, whole numbers included."""
    from crm.customer_files import head, row
    from crm.errors import BadCustomerFile
    from personas.audit import Action

    between = ";" if semicolons else ","

    async def lines(store: "Customers") -> AsyncIterator[str]:
        yield head(between)
        async for each in store.every():
            yield row(each, between)

    async def run(store: "Customers") -> None:
        if str(file) == "-":
            sys.stdout.reconfigure(encoding="utf-8", newline="")  # pyright: ignore[reportAttributeAccessIssue]
            async for line in lines(store):
                sys.stdout.write(line)
            return
        part = file.with_name(f".{file.name}.part")
        try:
            part.touch(mode=0o600)  # it holds people's numbers
            with part.open("w", encoding="utf-8", newline="") as out:
                async for line in lines(store):
                    out.write(line)
            part.replace(file)  # whole, or as it was
        except OSError as error:
            raise BadCustomerFile(f"The file {file} can't be written: {error.strerror}.") from None
        finally:
            part.unlink(missing_ok=True)

    async def noted(store: "Customers") -> None:
        await run(store)
        await store.note(Action.CUSTOMERS_EXPORTED, f"{await store.count()} customers")

    _with_customers(noted)


@customers.command("list")
def list_(
    name: Annotated[str, typer.Option(help="Only those whose name holds this; case and accents don't matter.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List customers by name; `parley customers export` writes all of them."""
    page, count = _with_customers(lambda store: _first_page(store, name, limit))
    if as_json:
        _print_json([_fields(each) for each in page.customers])
        return
    for each in page.customers:
        typer.echo(f"{', '.join(each.numbers)}  {each.name or '(no name)'}")
    if page.after is not None:
        typer.echo(f"… and more; {count} customers in all.", err=True)
    elif not count:
        typer.echo("There are no customers yet; load some with `parley customers import FILE.csv`.", err=True)
    elif not page.customers:
        typer.echo(f"None of the {count} customers has this in their name.", err=True)


@customers.command("show")
def show(number: Number, as_json: AsJson = False) -> None:
    """Show the customer who calls from a number."""
    found = _with_customers(lambda store: _known(store, number))
    if as_json:
        _print_json(_fields(found))
        return
    typer.echo(f"{found.name or '(no name)'}\n{', '.join(found.numbers)}")
    typer.echo(f"\n{found.profile or '(no profile)'}")


@customers.command("remove")
def remove(number: Number) -> None:
    """Forget the customer who calls from a number, with all their numbers; calls keep what their agent was told."""

    async def run(store: "Customers") -> None:
        await store.remove((await _known(store, number)).id)

    _with_customers(run)
    typer.echo("The customer is removed.")


async def _first_page(store: "Customers", name: str, limit: int) -> "tuple[CustomerPage, int]":
    return await store.page(limit=limit, name=name), await store.count()


async def _known(store: "Customers", number: str) -> "Customer":
    from crm.errors import UnknownCustomer
    from crm.phone_numbers import e164

    found = await store.by_number(e164(number))
    if found is None:
        raise UnknownCustomer("No customer has this number; `parley customers list` shows who there is.")
    return found


def _with_customers(work: "Callable[[Customers], Awaitable[T]]") -> T:
    from agent.settings import settings
    from crm.customers import Customers
    from personas import migrate
    from personas.audit import command_line

    async def run() -> T:
        async with migrate.opened(settings().database) as database:
            return await work(Customers(database, command_line()))

    return asyncio.run(run())


@contextlib.contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None]]:
    """Show how far the import is, where somebody looks."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("Importing", total=size)
        yield lambda count: progress.update(task, completed=count)


def _tell(report: "Report", dry_run: bool, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        _print_json(asdict(report))
        return
    for bad in report.bad:
        typer.echo(f"line {bad.line}: {bad.field}: {bad.problem}.", err=True)
    if report.bad_count > len(report.bad):
        typer.echo(f"… and {report.bad_count - len(report.bad)} more bad rows.", err=True)
    if report.ignored:
        typer.echo(f"Columns that are left out: {', '.join(report.ignored)}.", err=True)
    new, changed, unchanged = (report.counts[name] for name in ("new", "changed", "unchanged"))
    verb = "" if report.is_written else "would be "
    rows = "1 row" if report.rows == 1 else f"{report.rows} rows"
    typer.echo(f"{rows}: {new} {verb}new, {changed} {verb}changed, {unchanged} unchanged.")
    if report.bad_count:
        done = "left out" if report.is_written else "so nothing was written" if not dry_run else "nothing was written"
        typer.echo(f"{report.bad_count} rows are bad: {done}.", err=True)
    elif dry_run:
        typer.echo("Nothing was written: this was a dry run.")


def _fields(customer: "Customer") -> dict[str, object]:
    return {"numbers": list(customer.numbers), "name": customer.name, "profile": customer.profile}


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def register(app: typer.Typer) -> None:
    app.add_typer(customers, name="customers")
