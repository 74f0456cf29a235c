"""`parley personas` and `parley numbers`: load, list, show and check role cards, and who answers which number."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from personas.numbers import NumberSettings
    from personas.persona import PersonaCard
    from personas.store import ImportedCard, PersonaStore, PersonaSummary, PersonaVersion

T = TypeVar("T")

personas = typer.Typer(help="Load, list, show and check role cards.", no_args_is_help=True)
numbers = typer.Typer(help="Say which persona answers which phone number.", no_args_is_help=True)

Files = Annotated[
    list[Path] | None,
    typer.Argument(help="Role cards in YAML; without any, the library that comes with Parley.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Slug = Annotated[str, typer.Argument(help="The persona's slug; `parley personas list` shows them.", show_default=False)]
Number = Annotated[str, typer.Argument(help="A phone number in E.164, e.g. +15550100.", show_default=False)]


@personas.command("import")
def import_(
    files: Files = None,
    replace_edits: Annotated[
        bool, typer.Option("--replace-edits", help="Publish the files also over changes made since their last import.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Save and publish role cards, all or none; cards that did not change make no new version."""
    cards = _load(files)
    imported = _with_store(lambda store: store.import_cards(cards, replace_edits=replace_edits))
    if as_json:
        _print_json([_imported(each) for each in imported])
        return
    rows = [(each.version.persona_slug, str(each.version.number), _OUTCOMES[each.outcome]) for each in imported]
    _print_table(("persona", "version", "what happened"), rows)
    if any(each.outcome == "edited" for each in imported):
        typer.echo("To publish the files over later edits: parley personas import --replace-edits", err=True)


@personas.command("list")
def list_(
    archived: Annotated[bool, typer.Option("--archived", help="Also those that are archived.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the personas with their versions and phone numbers."""
    found = _with_store(lambda store: store.personas(also_archived=archived))
    if as_json:
        _print_json([_summary(each) for each in found])
        return
    rows = [
        (each.slug, each.agent_name, each.company, each.voice, _versions(each), ", ".join(each.numbers))
        for each in found
    ]
    _print_table(("persona", "agent", "company", "voice", "version", "numbers"), rows)
    if not rows:
        typer.echo("There are no personas yet; load the library with `parley personas import`.", err=True)


@personas.command()
def show(
    slug: Slug,
    version: Annotated[
        int, typer.Option(min=0, help="The version's number; 0 means the published one, else the draft.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Show one version of a persona with its role prompt, as the engine is given it."""
    from personas.prompt import render_role_prompt

    found = _with_store(lambda store: _find_version(store, slug, version))
    prompt = render_role_prompt(found.card)
    if as_json:
        _print_json(_version(found) | {"role_prompt": prompt, "card": found.card.model_dump(mode="json")})
        return
    card = found.card
    state = f"published {found.published_at:%Y-%m-%d %H:%M} UTC" if found.published_at else "draft"
    typer.echo(f"{card.title} ({card.slug}), version {found.number}, {state}")
    typer.echo(f"{card.agent.name}, {card.agent.role} at {card.agent.company}; voice {card.voice}")
    typer.echo(f"{len(card.facts)} facts, {len(card.rules)} rules, {len(card.test_questions)} test questions")
    typer.echo(f"\n{prompt}")


@personas.command()
def archive(slug: Slug) -> None:
    """Put a persona away that answers no number; its calls keep their version, and nobody else gets its slug."""
    _with_store(lambda store: store.archive(slug))
    typer.echo(f"{slug} is archived; `parley personas restore {slug}` brings it back.")


@personas.command()
def restore(slug: Slug) -> None:
    """Bring an archived persona back."""
    _with_store(lambda store: store.bring_back(slug))
    typer.echo(f"{slug} is back.")


@personas.command()
def lint(files: Files = None, as_json: AsJson = False) -> None:
    """Check that role cards are fit for calls and fairly testable; exit code 1 when one is not."""
    from personas.lint import lint_card

    cards = _load(files)
    findings = [
        {"persona": card.slug, "field": finding.field, "problem": finding.problem}
        for card in cards
        for finding in lint_card(card, testable=not files)
    ]
    if as_json:
        _print_json(findings)
    else:
        for finding in findings:
            typer.echo(f"{finding['persona']}: {finding['field']}: {finding['problem']}")
        of_cards, of_findings = ("s" if len(found) != 1 else "" for found in (cards, findings))
        typer.echo(f"{len(cards)} card{of_cards} checked, {len(findings)} finding{of_findings}.")
    if findings:
        raise typer.Exit(1)


@numbers.command("set")
def set_(
    number: Number,
    persona: Slug,
    human: Annotated[
        str | None, typer.Option(help="Whom to dial where a human is wanted: E.164, or empty for nobody.")
    ] = None,
    on_full: Annotated[
        str | None, typer.Option(help="What callers meet when the engine is full: busy, wait or human.")
    ] = None,
    wait_limit_s: Annotated[
        int | None, typer.Option("--wait-limit", help="Longest wait for a free line, in seconds.")
    ] = None,
    hours: Annotated[
        str | None, typer.Option(help="Opening hours, e.g. 'Mon-Fri 08:00-20:00, Sat 10:00-14:00'; empty is always.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="IANA time zone of the hours, e.g. Europe/Berlin.")] = None,
    out_of_hours: Annotated[
        str | None, typer.Option(help="What callers meet outside the hours: open, voicemail, message or a persona.")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="The carrier's queue that hand-offs of mode queue go to.")] = None,
) -> None:
    """Let a persona answer a phone number, and say what happens where it can't; what is not given stays as it is."""
    from dataclasses import replace

    from personas.numbers import NumberSettings, check_number, settings_hash

    plain = check_number(number)
    given = {
        "human_number": check_number(human) if human else human,
        "on_full": on_full,
        "wait_limit_s": wait_limit_s,
        "hours": hours,
        "timezone": timezone,
        "out_of_hours": out_of_hours,
        "queue_name": queue,
    }
    changes = {name: value for name, value in given.items() if value is not None}

    async def save(store: "PersonaStore") -> None:
        known = await store.number_settings(plain)
        settings = replace(known or NumberSettings(plain, persona), persona_slug=persona, **changes)
        await store.save_number(settings, base=settings_hash(known) if known else "")

    _with_store(save)
    typer.echo(f"{plain} is answered by {persona}.")


@numbers.command()
def clear(number: Number) -> None:
    """Let nobody answer a phone number any more."""
    from personas.numbers import check_number

    plain = check_number(number)
    _with_store(lambda store: store.clear_number(plain))
    typer.echo(f"{plain} is answered by nobody.")


@numbers.command("list")
def list_numbers(as_json: AsJson = False) -> None:
    """List the phone numbers, the personas that answer them, and what happens where those can't."""
    from dataclasses import asdict

    found = _with_store(lambda store: store.numbers())
    if as_json:
        _print_json([_number_fields(asdict(each)) for each in found])
        return
    head = ("number", "persona", "human", "when full", "hours", "out of hours")
    _print_table(head, [_number_row(each) for each in found])
    if not found:
        typer.echo("No number is set yet; try `parley numbers set +15550100 PERSONA`.", err=True)


_OUTCOMES = {
    "new": "new, published",
    "changed": "changed, published",
    "unchanged": "unchanged",
    "edited": "kept: edited since its last import",
    "archived": "left alone: archived",
}


def _number_fields(values: dict[str, object]) -> dict[str, object]:
    return {"persona" if name == "persona_slug" else name: value for name, value in values.items()}


def _number_row(number: "NumberSettings") -> tuple[str, ...]:
    full = f"wait {number.wait_limit_s} s" if number.on_full == "wait" else number.on_full
    hours = f"{number.hours} ({number.timezone})" if number.hours else "always"
    closed = number.out_of_hours if number.hours else "–"
    return (number.number, number.persona_slug, number.human_number or "–", full, hours, closed)


def _load(files: list[Path] | None) -> "list[PersonaCard]":
    from agent.settings import settings
    from personas.card_files import load_cards
    from personas.library import load_library

    return load_cards(files, settings().voices_of_own) if files else load_library()


def _with_store(work: "Callable[[PersonaStore], Awaitable[T]]") -> T:
    from agent.settings import settings
    from personas import migrate
    from personas.audit import command_line
    from personas.store import PersonaStore

    async def run() -> T:
        async with migrate.opened(settings().database) as database:
            return await work(PersonaStore(database, command_line()))

    return asyncio.run(run())


async def _find_version(store: "PersonaStore", slug: str, number: int) -> "PersonaVersion":
    from personas.errors import UnknownVersion

    versions = await store.versions(slug)
    if not number:
        return next((each for each in versions if each.published_at), versions[0])
    for each in versions:
        if each.number == number:
            return each
    raise UnknownVersion(f"The persona {slug!r} has no version {number}; it has 1 to {versions[0].number}.")


def _versions(summary: "PersonaSummary") -> str:
    if summary.archived_at:
        return "archived"
    published = str(summary.published_number) if summary.published_number else "not published"
    return f"{published}, draft {summary.draft_number}" if summary.draft_number else published


def _imported(each: "ImportedCard") -> dict[str, object]:
    return {"outcome": each.outcome.value} | _version(each.version)


def _version(version: "PersonaVersion") -> dict[str, object]:
    published_at = version.published_at.isoformat() if version.published_at else None
    return {"persona": version.persona_slug, "version": version.number, "published_at": published_at}


def _summary(summary: "PersonaSummary") -> dict[str, object]:
    return {
        "persona": summary.slug,
        "title": summary.title,
        "agent": summary.agent_name,
        "company": summary.company,
        "voice": summary.voice,
        "published": summary.published_number,
        "draft": summary.draft_number,
        "numbers": list(summary.numbers),
        "archived": summary.archived_at is not None,
    }


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(box=box.SIMPLE)
    for place, name in enumerate(head):
        table.add_column(name, no_wrap=place == 0, overflow="fold")  # what is typed into the next command is never cut
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def register(app: typer.Typer) -> None:
    app.add_typer(personas, name="personas")
    app.add_typer(numbers, name="numbers")
