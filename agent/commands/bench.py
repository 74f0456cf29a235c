"""`parley bench …`: figures about this machine and this version, printed for people or as JSON."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agent.bench.answers import Answer
    from agent.bench.live import Onset

Voices = Annotated[
    str, typer.Option(help="Callers' voices, comma-separated: slt, rms (flite), or eSpeak's; empty chooses three.")
]
Snr = Annotated[float, typer.Option(min=-10, max=60, help="Noise of the second run: speech over noise in dB.")]
Limit = Annotated[int, typer.Option(min=0, help="Ask only the first cards of the library; 0 asks all.")]
Live = Annotated[int, typer.Option(min=0, help="Hold this many calls in real time too, half a minute each.")]
Errors = Annotated[bool, typer.Option("--errors", help="List every wrong answer: asked, heard, expected, stated.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def register(app: typer.Typer) -> None:
    bench = typer.Typer(help="Measure what an engine does on this machine.", no_args_is_help=True)
    bench.command("cascade")(cascade)
    app.add_typer(bench, name="bench")


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
    does not say (Q5).
    """
    from agent.bench.answers import ASKED, ask_all
    from agent.bench.callers import Callers, default_voices
    from agent.bench.live import talk_live
    from agent.logs import configure_logging
    from agent.settings import settings
    from personas.library import load_library

    configure_logging("warning")
    callers = Callers(tuple(filter(None, (voice.strip() for voice in voices.split(",")))) or default_voices())
    cards = load_library()[: limit or None]
    options = settings().engine_options()
    questions = sum(question.kind in ASKED for card in cards for question in card.test_questions)
    with _Progress("Questions", questions * len(callers.voices) * 2) as done:
        answers = asyncio.run(ask_all(cards, callers, (None, snr), options, done))
    onsets: list[Onset] = []
    if live:
        with _Progress("Calls", live) as done:
            onsets = asyncio.run(talk_live(cards, callers, live, options, done))
    if as_json:
        typer.echo(json.dumps(_as_json(callers.voices, snr, answers, onsets), indent=2))
    else:
        _print_tables(callers.voices, snr, answers, onsets, errors)


class _Progress:
    """A bar on the error output, so that standard output stays clean."""

    def __init__(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> Callable[[], None]:
        self._bar.start()
        return lambda: self._bar.advance(self._task)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _figures(answers: "Sequence[Answer]") -> dict[str, float | int]:
    words = sum(answer.words for answer in answers)
    return {
        "asked": len(answers),
        "right": sum(answer.right for answer in answers),
        "right_pct": round(100 * sum(answer.right for answer in answers) / max(1, len(answers)), 1),
        "word_error_pct": round(100 * sum(answer.errors for answer in answers) / max(1, words), 1),
    }


def _grouped(answers: "Sequence[Answer]", name: str) -> dict[str, dict[str, float | int]]:
    values = dict.fromkeys(getattr(answer, name) for answer in answers)
    return {value: _figures([answer for answer in answers if getattr(answer, name) == value]) for value in values}


def _as_json(
    voices: Sequence[str], snr: float, answers: "Sequence[Answer]", onsets: "Sequence[Onset]"
) -> dict[str, Any]:
    lines: dict[str, Any] = {}
    for name, snr_db in (("clean", None), ("noisy", snr)):
        chosen = [answer for answer in answers if answer.snr_db == snr_db]
        lines[name] = {
            "snr_db": snr_db,
            **_figures(chosen),
            "by_card": _grouped(chosen, "card"),
            "by_voice": _grouped(chosen, "voice"),
            "by_kind": _grouped(chosen, "kind"),
        }
    wrong = [
        {name: getattr(answer, name) for name in answer.__slots__ if name not in ("right", "words", "errors")}
        for answer in answers
        if not answer.right
    ]
    return {"voices": list(voices), **lines, "wrong": wrong, "live": _live_figures(onsets)}


def _live_figures(onsets: "Sequence[Onset]") -> dict[str, Any]:
    import numpy as np

    if not onsets:
        return {}
    names = dict.fromkeys(name for onset in onsets for name in onset.parts)
    series = {"onset_ms": [onset.onset_ms for onset in onsets]}
    series |= {name: [onset.parts[name] for onset in onsets if name in onset.parts] for name in names}
    figures = {name: np.percentile(values, [50, 90]).round() for name, values in series.items()}
    return {"responses": len(onsets)} | {name: {"p50": p50, "p90": p90} for name, (p50, p90) in figures.items()}


def _print_tables(
    voices: Sequence[str], snr: float, answers: "Sequence[Answer]", onsets: "Sequence[Onset]", errors: bool
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for snr_db in (None, snr):
        chosen = [answer for answer in answers if answer.snr_db == snr_db]
        line = "a clean line" if snr_db is None else f"{snr_db:g} dB noise"
        table = Table("Card", *voices, "All", title=f"Right answers and word errors, {line}")
        for card, together in _grouped(chosen, "card").items():
            by_voice = _grouped([answer for answer in chosen if answer.card == card], "voice")
            table.add_row(card, *(_cell(by_voice[voice]) for voice in voices), _cell(together))
        table.add_section()
        by_voice = _grouped(chosen, "voice")
        table.add_row("All", *(_cell(by_voice[voice]) for voice in voices), _cell(_figures(chosen)))
        console.print(table)
        kinds = [f"{kind} {figures['right_pct']:.0f} %" for kind, figures in _grouped(chosen, "kind").items()]
        console.print("Right by kind of question:", ", ".join(kinds))
    if onsets:
        _print_onsets(console, onsets)
    if errors:
        for answer in (answer for answer in answers if not answer.right):
            line = "clean" if answer.snr_db is None else f"{answer.snr_db:g} dB"
            console.print(f"{answer.card} {answer.kind} {answer.voice} {line}", style="bold", highlight=False)
            console.print(f"  asked  {answer.asked}\n  heard  {answer.heard}", highlight=False)
            console.print(f"  expected {', '.join(answer.expected)}; stated {', '.join(answer.topics) or 'nothing'}")


def _cell(figures: dict[str, float | int]) -> str:
    return f"{figures['right']}/{figures['asked']} · {figures['word_error_pct']:.0f} %"


def _print_onsets(console: Any, onsets: "Sequence[Onset]") -> None:
    from rich.table import Table

    figures = _live_figures(onsets)
    table = Table("Part", "p50 ms", "p90 ms", title=f"Response onset over {figures.pop('responses')} live answers")
    for name, value in figures.items():
        table.add_row(name, f"{value['p50']:.0f}", f"{value['p90']:.0f}")
    console.print(table)
