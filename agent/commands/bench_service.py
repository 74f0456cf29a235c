"""`parley bench service`: the library's test questions, asked of any engine over a telephone line."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands.bench import Voices, group_of, library_cards

if TYPE_CHECKING:
    from agent.bench.callers import Callers
    from agent.bench.service import Served
    from personas.persona import PersonaCard

Engine = Annotated[str, typer.Option(help="Engine that answers: empty takes PARLEY_ENGINE.")]
Cards = Annotated[str, typer.Option(help="Slugs of library personas, comma-separated; empty asks all of them.")]
Calls = Annotated[int, typer.Option(min=1, max=1_000, help="Calls at once.")]
Answers = Annotated[bool, typer.Option("--answers", help="List every question with what the agent said.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def register(app: typer.Typer) -> None:
    group_of(app).command("service")(service)


def service(
    engine: Engine = "",
    cards: Cards = "",
    voices: Voices = "",
    calls: Calls = 1,
    answers: Answers = False,
    as_json: Json = False,
) -> None:
    """Ask each persona its seven test questions (Q0-Q6 of Service-Duplex-Bench's form), a call each, in real time.

    Answers are held to the role card as calls are: by rules, and where these leave it open by the judge of
    PARLEY_JUDGE_BASE_URL, if there is one; the rest stays open. What the agent said is the engine's own text.
    """
    from agent.bench.callers import Callers, default_voices
    from agent.bench.service import figures
    from agent.logs import configure_logging
    from agent.settings import settings

    configure_logging("error")
    chosen = library_cards(cards.split(","), "--cards")
    callers = Callers(tuple(filter(None, (voice.strip() for voice in voices.split(",")))) or default_voices()[:1])
    name = engine or settings().engine
    served = asyncio.run(_serve(name, chosen, callers, calls))
    if as_json:
        found = {"engine": name, "voices": list(callers.voices), "figures": figures(served)}
        typer.echo(json.dumps(found | {"answers": [asdict(one) for one in served]}, indent=2))
    else:
        _print(served, answers)
    if any(one.result == "failed" for one in served):
        raise typer.Exit(1)


async def _serve(name: str, cards: "Sequence[PersonaCard]", callers: "Callers", calls: int) -> "list[Served]":
    from agent.bench.service import serve_all
    from agent.commands.bench import Progress
    from agent.duplex import load_engine
    from agent.judging import proven, settings_judge
    from agent.settings import settings

    engine = load_engine(name, settings().engine_options())
    async with settings_judge() as judge:
        judge = await proven(judge, "Rules alone decide.")
        try:
            await engine.start()
            questions = sum(len(card.test_questions) for card in cards) * len(callers.voices)
            with Progress("Questions", questions) as done:
                return await serve_all(engine, cards, callers, judge, done, calls)
        finally:
            await engine.close()


def _print(served: "Sequence[Served]", answers: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from agent.bench.service import RESULTS, figures

    console = Console()
    if answers:
        for one in served:
            console.print(f"{one.card} {one.kind} {one.voice}: {one.result}", style="bold", highlight=False)
            console.print(f"  asked  {one.asked}\n  said   {one.said}\n  {one.why}", highlight=False, markup=False)
    table = Table("", "Asked", "Right", "Wrong", "Open", "Silent", "Failed", "Onset p50", "p90")
    for kind, found in figures(served).items():
        onsets = ["-" if found[key] is None else f"{found[key]:.0f} ms" for key in ("onset_p50_ms", "onset_p90_ms")]
        table.add_row(kind, *(str(found[name]) for name in ("asked", *RESULTS)), *onsets)
    console.print(table)
    for one in [one for one in served if one.result == "failed"][:10]:
        typer.echo(f"{one.card} {one.kind} was not asked: {one.why}", err=True)
