"""`parley bench …`: figures about this machine and this version, printed for people or as JSON."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from personas.persona import PersonaCard

Voices = Annotated[
    str, typer.Option(help="Callers' voices, comma-separated: slt, rms (flite), or eSpeak's; empty chooses three.")
]
Snr = Annotated[float, typer.Option(min=-10, max=40, help="Noise of the second run: speech over noise in dB.")]
Limit = Annotated[int, typer.Option(min=0, help="Ask only the first cards of the library; 0 asks all.")]
Live = Annotated[int, typer.Option(min=0, help="Hold this many calls in real time too, half a minute each.")]
Errors = Annotated[bool, typer.Option("--errors", help="List every wrong answer: asked, heard, expected, stated.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def register(app: typer.Typer) -> None:
    bench = typer.Typer(help="Measure what an engine, or the gateway, does on this machine.", no_args_is_help=True)
    bench.command("cascade")(cascade)
    app.add_typer(bench, name="bench")


def group_of(app: typer.Typer) -> typer.Typer:
    """Return the group, for what joins it: modules register in the order of their names, this one first."""
    bench = next(group.typer_instance for group in app.registered_groups if group.name == "bench")
    assert bench is not None
    return bench


def library_cards(slugs: Iterable[str], option: str) -> "list[PersonaCard]":
    """Return the library's cards of these slugs, all of them where there are none.

    Raises:
        BadParameter: a slug that ``option`` brought is none.
    """
    from personas.library import load_library

    known = {card.slug: card for card in load_library()}
    wanted = [slug for each in slugs if (slug := each.strip())]
    for slug in wanted:
        if slug not in known:
            raise typer.BadParameter(f"{option}: the library has no {slug!r}; it has {', '.join(known)}.")
    return [known[slug] for slug in wanted or known]


def cascade(
    voices: Voices = "",
    snr: Snr = 20.0,
    limit: Limit = 0,
    live: Live = 0,
    errors: Errors = False,
    as_json: Json = False,
) -> None:
    """Ask the library's test questions over an 8 kHz µ-law line: word errors and right answers, clean and in noise.

    Right means: the reply states the facts that the card's test question names (Q0-Q2), or says that the card
    does not say (Q5). Beside it: how soon an interruption stops the agent, and how often a "yeah" does.
    """
    from rich.console import Console

    from agent.bench.answers import ASKED, ask_all
    from agent.bench.callers import Callers, default_voices
    from agent.bench.cascade import CascadeResult
    from agent.bench.floor import BACKCHANNELS, INTERRUPTIONS, bursts
    from agent.bench.live import talk_live
    from agent.logs import configure_logging
    from agent.settings import settings
    from personas.library import load_library

    configure_logging("warning")
    callers = Callers(tuple(filter(None, (voice.strip() for voice in voices.split(",")))) or default_voices())
    cards = load_library()[: limit or None]
    options = settings().engine_options()
    questions = sum(question.kind in ASKED for card in cards for question in card.test_questions)
    with Progress("Questions", questions * len(callers.voices) * 2) as done:
        answers = asyncio.run(ask_all(cards, callers, (None, snr), options, done))
    with Progress("Barge-in", len(INTERRUPTIONS) + len(BACKCHANNELS)) as done:
        stops = list(bursts(callers, (None, snr), done))
    with Progress("Calls", live) as done:
        onsets = asyncio.run(talk_live(cards, callers, live, options, done)) if live else []
    result = CascadeResult(callers.voices, snr, answers, stops, onsets)
    if as_json:
        typer.echo(json.dumps(result.as_json(), indent=2))
        return
    result.print_tables(Console())
    if errors:
        result.print_errors(Console())


class Progress:
    """A bar on the error output, so that standard output stays clean."""

    def __init__(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not total)
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Callable[[], None]:
        self._bar.start()
        return lambda: self._bar.advance(self._task)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
