"""The benchmark's folders: ``SUBSET/ID/input.wav`` and what its annotation says of it.

v1     pause.json · turn_taking.json · interrupt.json · for backchannels none
v1.5   metadata.json
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.duplex import DuplexError

INPUT = "input.wav"


class FullDuplexError(DuplexError):
    """A folder or file that is not the benchmark's; one sentence that names it."""


class Task(StrEnum):
    """What a sample asks of the agent; v1's four tasks, and v1.5's overlaps."""

    PAUSE = "pause_handling"
    TURN = "smooth_turn_taking"
    INTERRUPTION = "user_interruption"
    OVERLAP = "overlap"
    BACKCHANNEL = "backchannel"


ANNOTATIONS = {
    "metadata.json": Task.OVERLAP,
    "pause.json": Task.PAUSE,
    "turn_taking.json": Task.TURN,
    "interrupt.json": Task.INTERRUPTION,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording of a user. ``at_s``: the annotated (start, end) in seconds of it, where the task has one."""

    subset: str
    name: str
    task: Task
    folder: Path
    at_s: tuple[float, float] | None = None

    @property
    def place(self) -> Path:
        """Where it lies below the data's folder, and its answer below the output's."""
        return Path(self.subset) / self.name


def find_samples(data: Path) -> list[Sample]:
    """Return the samples of the benchmark, of one version or of one subset, by subset and number.

    Raises:
        FullDuplexError: there is none, or an annotation is not what the benchmark's is.
    """
    samples = [_sample(data, path.parent) for path in sorted(data.glob(f"**/{INPUT}"))]
    if not samples:
        raise FullDuplexError(f"There is no SUBSET/ID/{INPUT} in {data}: name the folder that the benchmark lies in.")
    return sorted(samples, key=lambda sample: (sample.subset, _order(sample.name)))


def _sample(data: Path, folder: Path) -> Sample:
    subset = folder.parent.relative_to(data).as_posix()
    for name, task in ANNOTATIONS.items():
        if (folder / name).is_file():
            return Sample(subset, folder.name, task, folder, _at_s(folder / name, task))
    if "backchannel" not in folder.parent.name:
        raise FullDuplexError(
            f"{folder} holds none of {', '.join(ANNOTATIONS)}: what is asked of the agent there is not known."
        )
    return Sample(subset, folder.name, Task.BACKCHANNEL, folder)


def _at_s(path: Path, task: Task) -> tuple[float, float] | None:
    try:
        held = json.loads(path.read_text())
        if task is Task.PAUSE:  # many pauses, none of which is scored by itself
            return None
        start, end = held["timestamps"] if task is Task.OVERLAP else held[0]["timestamp"]
        if not 0 <= start <= end:
            raise ValueError
        return float(start), float(end)
    except (OSError, ValueError, TypeError, LookupError) as error:
        wanted = '{"timestamps": [s, e], …}' if task is Task.OVERLAP else '[{"timestamp": [s, e], …}]'
        raise FullDuplexError(f"{path} can't be read: it should hold {wanted}, in seconds.") from error


def _order(name: str) -> tuple[tuple[int, Any], ...]:
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.findall(r"\d+|\D+", name))


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the agent, in seconds of the user's recording."""

    text: str
    start_s: float
    end_s: float


def read_words(path: Path) -> list[Word] | None:
    """Return the words of an ``output.json``, by anyone's recogniser or the engine's own; None if there is no file.

    A word whose end the recogniser did not find has no length.

    Raises:
        FullDuplexError: it is not of the benchmark's form.
    """
    if not path.is_file():
        return None
    try:
        return list(_words(json.loads(path.read_text())["chunks"]))
    except (ValueError, TypeError, LookupError) as error:
        wanted = '{"text": …, "chunks": [{"text": …, "timestamp": [s, e]}]}'
        raise FullDuplexError(f"{path} can't be read: it should hold {wanted}.") from error


def _words(chunks: Any) -> Iterator[Word]:
    for chunk in chunks:
        start, end = chunk["timestamp"]
        if start is not None:
            yield Word(str(chunk["text"]), float(start), float(start if end is None else end))
