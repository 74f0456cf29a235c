"""`parley bench full-duplex`: Full-Duplex-Bench's recordings answered by any engine, and its measures."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands.bench import group_of, library_cards
from agent.commands.infer import DEFAULT_TEXT, DEFAULT_VOICE

if TYPE_CHECKING:
    from agent.bench.full_duplex.answering import Answered
    from agent.bench.full_duplex.report import Subset
    from agent.bench.full_duplex.samples import Sample
    from agent.duplex import RolePrompt

Data = Annotated[Path, typer.Argument(help="The benchmark's folder, or that of one version or subset.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the answers; without it they lie beside the recordings, as is usual.")
]
Engine = Annotated[str, typer.Option(help="Engine that answers: empty takes PARLEY_ENGINE.")]
Card = Annotated[str, typer.Option(help="Slug of a library persona that answers, instead of --text and --voice.")]
Calls = Annotated[int, typer.Option(min=1, max=1_000, help="Recordings answered at once.")]
RealTime = Annotated[
    bool,
    typer.Option("--real-time/--no-real-time", help="Off: as fast as the engine goes; its answers count as immediate."),
]
Only = Annotated[bool, typer.Option("--score-only", help="Answer nothing; score what lies there.")]
People = Annotated[
    Path | None, typer.Option(help="The benchmark's icc_gt_distribution.json, for the divergence of backchannels.")
]
Limit = Annotated[int, typer.Option(min=0, help="Only the first samples of each subset; 0 takes all.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


MOST_FAILURES = 10


def register(app: typer.Typer) -> None:
    group_of(app).command("full-duplex")(full_duplex)


def full_duplex(
    data: Data,
    out: Out = None,
    engine: Engine = "",
    card: Card = "",
    text: Annotated[str, typer.Option(help="The role as text.")] = DEFAULT_TEXT,
    voice: Annotated[str, typer.Option(help="Name of a voice.")] = DEFAULT_VOICE,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of every call's sampling.")] = 0,
    calls: Calls = 1,
    real_time: RealTime = True,
    score_only: Only = False,
    people: People = None,
    limit: Limit = 0,
    as_json: Json = False,
) -> None:
    """Answer the recordings of Full-Duplex-Bench v1 and v1.5 with an engine, and score when it speaks and stops.

    What is answered already is kept, so that a run can be broken off and gone on with. Words are the engine's own
    text; put your recogniser's output.json beside each output.wav and run again with --score-only to score those.
    """
    from rich.console import Console

    from agent.bench.full_duplex.answering import Answered
    from agent.bench.full_duplex.report import print_table, read_people, score_all
    from agent.bench.full_duplex.samples import find_samples
    from agent.commands.bench import Progress
    from agent.logs import configure_logging
    from agent.settings import settings

    configure_logging("error")
    name, out = engine or settings().engine, out or data
    samples, spread = _first(find_samples(data), limit), read_people(people)
    answered = Answered()
    if not score_only:
        role = _role(card, text, voice, seed)
        with Progress("Recordings", len(samples)) as done:
            answered = asyncio.run(_answer(name, role, samples, out, calls, real_time, done))
    with Progress("Scores", len(samples)) as done:
        subsets = score_all(samples, out, spread, done)
    if as_json:
        run = {"engine": name, "card": card, "text": text, "voice": voice, "seed": seed, "real_time": real_time}
        found = {subset: scores.as_json() for subset, scores in subsets.items()}
        typer.echo(json.dumps({"run": None if score_only else run | answered.as_json(), "subsets": found}, indent=2))
    else:
        print_table(subsets, Console())
    for complaint in _complaints(answered, subsets):
        typer.echo(complaint, err=True)
    if answered.failed:
        raise typer.Exit(1)


def _first(samples: "list[Sample]", limit: int) -> "list[Sample]":
    """Return the first ``limit`` of each subset, all of them if that is 0."""
    kept: Counter[str] = Counter()
    found = []
    for sample in samples:
        kept[sample.subset] += 1
        if not limit or kept[sample.subset] <= limit:
            found.append(sample)
    return found


def _role(card: str, text: str, voice: str, seed: int) -> "RolePrompt":
    from agent.duplex import RoleCard, RolePrompt
    from agent.role import role_for

    if not card:
        return RolePrompt(text, voice, RoleCard("", "", "", "", "", "", "", ""), seed=seed)
    waiting = library_cards([card], "--card")[0].model_copy(
        update={"greeting": ""}
    )  # in the benchmark the user speaks first
    return replace(role_for(waiting), seed=seed)


async def _answer(
    name: str,
    role: "RolePrompt",
    samples: "list[Sample]",
    out: Path,
    calls: int,
    real_time: bool,
    done: Callable[[], None],
) -> "Answered":
    from agent.bench.full_duplex.answering import answer_all
    from agent.duplex import load_engine
    from agent.settings import settings

    engine = load_engine(name, settings().engine_options())
    try:
        await engine.start()
        return await answer_all(engine, role, samples, out, done, at_once=calls, real_time=real_time)
    finally:
        await engine.close()


def _complaints(answered: "Answered", subsets: "dict[str, Subset]") -> Iterator[str]:
    """Yield what makes the figures less than they look like."""
    for place, why in answered.failed[:MOST_FAILURES]:
        yield f"{place} was not answered: {why}"
    if len(answered.failed) > MOST_FAILURES:
        yield f"{len(answered.failed) - MOST_FAILURES} more were not answered."
    if answered.late:
        yield (
            f"{answered.late} of {answered.frames} frames were handed in more than half a frame late: "
            "this machine is too busy for so many calls at once."
        )
    if wordless := sum(subset.wordless for subset in subsets.values()):
        yield (
            f"{wordless} samples are not scored, because the engine is heard there and does not tell its words: "
            "put a recogniser's output.json beside each output.wav and run again with --score-only."
        )
