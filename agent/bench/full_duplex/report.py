"""Every answered sample's scores, pooled by subset: a table for people, JSON for programs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from agent.bench.full_duplex.answering import OUTPUT, WORDS
from agent.bench.full_duplex.samples import INPUT, FullDuplexError, Sample, Task, read_words
from agent.bench.full_duplex.scores import Scores, score_backchannels, score_overlap, score_words
from agent.bench.full_duplex.speech import speech
from agent.duplex import FRAME_MS
from agent.engines.cascade.activity import Silero
from agent.offline import read_recording

People = Mapping[str, Sequence[float]]


def read_people(path: Path | None) -> People | None:
    """Return the benchmark's ``icc_gt_distribution.json``: by sample, how people's backchannels are spread.

    Raises:
        FullDuplexError: it is not that file.
    """
    if path is None:
        return None
    try:
        return {str(name): [float(share) for share in shares] for name, shares in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FullDuplexError(
            f"{path} can't be read: it should be the benchmark's icc_gt_distribution.json."
        ) from error


@dataclass(slots=True)
class Subset:
    """A subset's scores. ``unanswered`` samples have no track, ``wordless`` ones no words to be scored by."""

    task: Task
    scores: list[Scores] = field(default_factory=list)
    unanswered: int = 0
    wordless: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return counts and figures; what the task does not ask for is left out."""
        found = {"task": self.task.value, "scored": len(self.scores)}
        found |= {"unanswered": self.unanswered, "wordless": self.wordless}
        return found | {name: value for name, value in self._figures() if value is not None}

    def _figures(self) -> Iterator[tuple[str, float | None]]:
        yield "fdb_tor", _mean([one.took_turn for one in self.scores])
        yield "fdb_backchannels_per_s", _mean([one.backchannels_per_s for one in self.scores])
        yield "fdb_bc_jsd", _mean([one.backchannel_jsd for one in self.scores])
        for name, values in (
            ("fdb_latency_s", [one.latency_s for one in self.scores]),
            ("fdb_stop_s", [value for one in self.scores for value in one.stops_s]),
            ("fdb_response_s", [value for one in self.scores for value in one.responses_s]),
        ):
            yield name, _mean(values)
            yield f"{name}_median", _mean(values, np.median)


def score_all(
    samples: Sequence[Sample], out: Path, people: People | None, done: Callable[[], None]
) -> dict[str, Subset]:
    """Score what is answered in ``out``, by subset; ``done`` is called after each sample.

    Raises:
        FullDuplexError: words are not of the benchmark's form.
        RecordingError: a track can't be read.
        EngineUnavailable: the voice activity model is not installed.
    """
    silero = Silero()
    subsets: dict[str, Subset] = {}
    for sample in samples:
        subset = subsets.setdefault(sample.subset, Subset(sample.task))
        words, track = read_words(out / sample.place / WORDS), out / sample.place / OUTPUT
        if not track.is_file():
            subset.unanswered += 1
        elif sample.task is Task.OVERLAP:
            subset.scores.append(score_overlap(speech(sample.folder / INPUT, silero), speech(track, silero)))
        elif words is None:
            subset.wordless += 1
        elif sample.task is Task.BACKCHANNEL:
            length_s = len(read_recording(track)) * FRAME_MS / 1000
            spread = people.get(sample.name) if people else None
            subset.scores.append(score_backchannels(speech(track, silero), words, length_s, spread))
        else:
            subset.scores.append(score_words(sample, words))
        done()
    return subsets


def print_table(subsets: Mapping[str, Subset], console: Console) -> None:
    """Print a line a subset; a dash stands for what its task does not ask for."""
    columns = (Column("Subset", overflow="fold"), "n", "TOR", "Latency s", "BC /s", "BC JSD", "Stop s", "Response s")
    table = Table(*columns, title="Full-Duplex-Bench, means")
    names = ("fdb_tor", "fdb_latency_s", "fdb_backchannels_per_s", "fdb_bc_jsd", "fdb_stop_s", "fdb_response_s")
    for name, subset in subsets.items():
        figures = subset.as_json()
        cells = [f"{figures[key]:.3f}" if key in figures else "-" for key in names]
        table.add_row(name, str(len(subset.scores)), *cells)
    console.print(table)


def _mean(values: Sequence[float | None], middle: Callable[[Any], Any] = np.mean) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(middle(known)), 4) if known else None
