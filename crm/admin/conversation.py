"""A call's turns as they are shown: who cut in on whom, how long the answer took, what the verdicts quote."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from crm.call import Turn, Verdict, VerdictResult

# Who stops within this time after the other one began has yielded the floor.
YIELD_MS = 2_000
GROUPS: tuple[tuple[VerdictResult, str, str], ...] = (
    ("fail", "Not kept", "circle-x"),
    ("unresolved", "Could not be decided", "help-circle"),
    ("pass", "Kept", "circle-check"),
    ("na", "Did not apply", "circle-minus"),
)
SEVERITIES = ("critical", "major", "minor")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a turn's text; ``result`` is that of the verdict which quotes it, empty where none does."""

    text: str
    result: str = ""


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """A turn with its place ``index`` in the call.

    ``mark`` is empty, ``backchannel``, ``interrupts`` or ``overlaps``; ``is_cut_off`` tells that the other
    side's interruption ended it; ``response_ms`` how long the caller waited for it.
    """

    index: int
    turn: Turn
    pieces: tuple[Piece, ...]
    mark: str
    is_cut_off: bool
    response_ms: int | None


def shown_turns(turns: Sequence[Turn], verdicts: Sequence[Verdict]) -> list[ShownTurn]:
    """Return what the page shows of each turn. ``turns`` are in order of their start."""
    quotes: dict[int, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.quote and verdict.turn_index is not None:
            quotes.setdefault(verdict.turn_index, []).append(verdict)
    marks = ["backchannel" if turn.backchannel else "" for turn in turns]
    cut_off: set[int] = set()
    waits: dict[int, int] = {}
    floor = [index for index, turn in enumerate(turns) if not turn.backchannel]
    for before, now in pairwise(floor):
        first, second = turns[before], turns[now]
        if first.side == second.side:
            continue
        if second.start_ms >= first.end_ms:
            waits[now] = second.start_ms - first.end_ms
        elif first.end_ms < second.end_ms and first.end_ms - second.start_ms <= YIELD_MS:
            marks[now] = "interrupts"
            cut_off.add(before)
        else:
            marks[now] = "overlaps"
    return [
        ShownTurn(
            index,
            turn,
            _pieces(turn.text, quotes.get(index, [])),
            marks[index],
            index in cut_off,
            waits.get(index) if turn.side == "agent" else None,
        )
        for index, turn in enumerate(turns)
    ]


def _pieces(text: str, verdicts: Sequence[Verdict]) -> tuple[Piece, ...]:
    """Split a text where quotes begin and end; of overlapping quotes the one that begins first is shown."""
    found = [(text.find(verdict.quote), verdict) for verdict in verdicts]
    pieces, at = [], 0
    for start, verdict in sorted(found, key=lambda pair: (pair[0], -len(pair[1].quote))):
        if start < at:
            continue
        pieces += [Piece(text[at:start]), Piece(verdict.quote, verdict.result)]
        at = start + len(verdict.quote)
    pieces.append(Piece(text[at:]))
    return tuple(piece for piece in pieces if piece.text)


def grouped(verdicts: Sequence[Verdict]) -> list[tuple[str, str, str, list[Verdict]]]:
    """Return (result, title, icon, verdicts) for each result that occurs: failures first, the severest on top."""
    groups = []
    for result, title, icon in GROUPS:
        same = [verdict for verdict in verdicts if verdict.result == result]
        if same:
            groups.append((result, title, icon, sorted(same, key=lambda verdict: SEVERITIES.index(verdict.severity))))
    return groups
