"""What is noted of a call in progress, kept as lines that survive the process.

recorder ─▶ line ─┬─▶ Notes.take     in memory, for the call's end
                  └─▶ CALL.jsonl ──▶ read_journal ─▶ Notes.take, after a crash
"""

import json
import os
from bisect import bisect_right
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from crm.call import CallEvent, TimedWord

Line = list[Any]
"""A kind and its values: ["word", start_ms, end_ms, text], ["text", at_ms, text], ["shift", sent_ms, by_ms],
["dropped", from_ms, to_ms], ["event", kind, at_ms, detail], ["timing", name, ms], ["clock", at_ms],
["recording", path]."""


@dataclass(slots=True)
class Notes:
    """Everything known of a call but its audio. Agent's text is at the time it was sent until ``agent_pieces``."""

    recording: str = ""
    clock_ms: int = 0
    words: list[TimedWord] = field(default_factory=list)
    events: list[CallEvent] = field(default_factory=list)
    timings: dict[str, list[float]] = field(default_factory=dict)
    _text: list[tuple[int, str]] = field(default_factory=list)
    _shifts: list[tuple[int, int]] = field(default_factory=list)
    _dropped: list[tuple[int, int]] = field(default_factory=list)

    def take(self, line: Line) -> None:
        """Add one line.

        Raises:
            ValueError, TypeError: the line is no line of ours.
        """
        match line:
            case ["word", int(start_ms), int(end_ms), str(text)]:
                self.words.append(TimedWord(text, start_ms, end_ms))
            case ["text", int(at_ms), str(text)]:
                self._text.append((at_ms, text))
            case ["shift", int(sent_ms), int(by_ms)]:
                self._shifts.append((sent_ms, by_ms))
            case ["dropped", int(from_ms), int(to_ms)]:
                self._dropped.append((from_ms, to_ms))
            case ["event", str(kind), int(at_ms), str(detail)]:
                self.events.append(CallEvent(kind, at_ms, detail))
            case ["timing", str(name), int(ms) | float(ms)] if isfinite(ms):
                self.timings.setdefault(name, []).append(float(ms))
            case ["clock", int(at_ms)]:
                self.clock_ms = max(self.clock_ms, at_ms)
            case ["recording", str(path)]:
                self.recording = path
            case _:
                raise ValueError("not a line of a call's journal")

    def agent_pieces(self) -> list[tuple[int, str]]:
        """Return the agent's text by the time it was heard; what was thrown away before it played is left out."""
        sent = [sent_ms for sent_ms, _ in self._shifts]
        pieces = []
        for at_ms, text in sorted(self._text, key=lambda piece: piece[0]):
            if any(low <= at_ms <= high for low, high in self._dropped):
                continue
            position = max(0, bisect_right(sent, at_ms) - 1)
            shift_ms = self._shifts[position][1] if self._shifts else 0
            pieces.append((max(0, at_ms + shift_ms), text))
        return pieces


class Journal:
    """Appends lines to a file. Not thread-safe: one thread owns it.

    Raises:
        OSError: from every method, when the disk is full or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def append(self, lines: list[Line]) -> None:
        """Write lines in one go."""
        left = memoryview("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
        while left:
            left = left[os.write(self._fd, left) :]

    def close(self) -> None:
        """Close the file; it stays."""
        os.close(self._fd)


def read_journal(path: Path) -> Notes:
    """Read what a dead process noted; a torn last line is left out. No journal: empty notes."""
    notes = Notes()
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return notes
    for line in lines:
        try:
            notes.take(json.loads(line))
        except (ValueError, TypeError):
            continue  # torn in the writing
    return notes
