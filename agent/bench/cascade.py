"""What `parley bench cascade` found: as tables for people and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.bench.answers import Answer
from agent.bench.floor import Burst, floor_figures
from agent.bench.line import Onset

_IN_JSON = ("card", "kind", "voice", "snr_db", "asked", "heard", "expected", "topics")


@dataclass(frozen=True, slots=True)
class CascadeResult:
    """Every answer, burst and live response of one run; lines are clean (None) or ``snr_db`` over their noise."""

    voices: Sequence[str]
    snr_db: float
    answers: Sequence[Answer]
    bursts: Sequence[Burst]
    onsets: Sequence[Onset]

    def lines(self) -> dict[str, float | None]:
        return {"clean": None, "noisy": self.snr_db}

    def as_json(self) -> dict[str, Any]:
        """Return plain data: ``clean`` and ``noisy`` figures, ``wrong`` answers, ``live`` onsets in ms."""
        found: dict[str, Any] = {"voices": list(self.voices)}
        for name, snr_db in self.lines().items():
            answers = [answer for answer in self.answers if answer.snr_db == snr_db]
            found[name] = {"snr_db": snr_db, **_figures(answers)}
            found[name] |= {f"by_{part}": _grouped(answers, part) for part in ("card", "voice", "kind")}
            found[name]["floor"] = floor_figures([burst for burst in self.bursts if burst.snr_db == snr_db])
        wrong = [answer for answer in self.answers if not answer.right]
        found["wrong"] = [{name: getattr(answer, name) for name in _IN_JSON} for answer in wrong]
        found["live"] = _onset_figures(self.onsets)
        return found

    def print_tables(self, console: Console) -> None:
        for name, snr_db in self.lines().items():
            line = "a clean line" if name == "clean" else f"{snr_db:g} dB noise"
            self._print_answers(console, f"Right answers · word errors, {line}", snr_db)
        table = Table(
            "Line", "Stop p50", "p90", "≤ 300 ms", "Stopped at all", "Backchannels yielded to", title="Barge-in"
        )
        for name, snr_db in self.lines().items():
            figures = floor_figures([burst for burst in self.bursts if burst.snr_db == snr_db])
            cells = [f"{value:g} {'ms' if key.endswith('_ms') else '%'}" for key, value in figures.items()]
            table.add_row(name, *cells)
        console.print(table)
        if self.onsets:
            self._print_onsets(console)

    def _print_answers(self, console: Console, title: str, snr_db: float | None) -> None:
        answers = [answer for answer in self.answers if answer.snr_db == snr_db]
        table = Table("Card", *self.voices, "All", title=title)
        for card in dict.fromkeys(answer.card for answer in answers):
            table.add_row(card, *self._cells([answer for answer in answers if answer.card == card]))
        table.add_section()
        table.add_row("All", *self._cells(answers))
        console.print(table)
        kinds = [f"{kind} {figures['right_pct']:.0f} %" for kind, figures in _grouped(answers, "kind").items()]
        console.print("Right by kind of question:", ", ".join(kinds))

    def _cells(self, answers: Sequence[Answer]) -> list[str]:
        by_voice = _grouped(answers, "voice")
        return [_cell(by_voice[voice]) for voice in self.voices] + [_cell(_figures(answers))]

    def _print_onsets(self, console: Console) -> None:
        figures = _onset_figures(self.onsets)
        table = Table("Part", "p50 ms", "p90 ms", title=f"Response onset over {figures.pop('responses')} live answers")
        for name, value in figures.items():
            table.add_row(name, f"{value['p50']:.0f}", f"{value['p90']:.0f}")
        console.print(table)

    def print_errors(self, console: Console) -> None:
        """List every wrong answer: asked, heard, expected, stated."""
        for answer in (answer for answer in self.answers if not answer.right):
            line = "clean" if answer.snr_db is None else f"{answer.snr_db:g} dB"
            console.print(f"{answer.card} {answer.kind} {answer.voice} {line}", style="bold", highlight=False)
            console.print(f"  asked  {answer.asked}\n  heard  {answer.heard}", highlight=False)
            console.print(f"  expected {', '.join(answer.expected)}; stated {', '.join(answer.topics) or 'nothing'}")


def _figures(answers: Sequence[Answer]) -> dict[str, float | int]:
    right, words = sum(answer.right for answer in answers), sum(answer.words for answer in answers)
    return {
        "asked": len(answers),
        "right": right,
        "right_pct": round(100 * right / max(1, len(answers)), 1),
        "word_error_pct": round(100 * sum(answer.errors for answer in answers) / max(1, words), 1),
    }


def _grouped(answers: Sequence[Answer], part: str) -> dict[str, dict[str, float | int]]:
    values = dict.fromkeys(getattr(answer, part) for answer in answers)
    return {value: _figures([answer for answer in answers if getattr(answer, part) == value]) for value in values}


def _cell(figures: Mapping[str, float | int]) -> str:
    return f"{figures['right']}/{figures['asked']} · {figures['word_error_pct']:.0f} %"


def _onset_figures(onsets: Sequence[Onset]) -> dict[str, Any]:
    if not onsets:
        return {}
    names = dict.fromkeys(name for onset in onsets for name in onset.parts)
    series = {"onset_ms": [onset.onset_ms for onset in onsets]}
    series |= {name: [onset.parts[name] for onset in onsets if name in onset.parts] for name in names}
    figures = {name: np.percentile(values, [50, 90]).round() for name, values in series.items()}
    return {"responses": len(onsets)} | {name: {"p50": p50, "p90": p90} for name, (p50, p90) in figures.items()}
