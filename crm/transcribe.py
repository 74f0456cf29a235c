"""Timed words and the tracks' voice activity → turns.

activity ─▶ IPUs ─┐
words ────────────┴▶ each word to the IPU it was spoken in ─▶ floor ─▶ turns with text
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from crm.call import Side, TimedWord, Turn
from crm.floor import FloorTurn, Ipu, floor_turns

NEAR_MS = 1_000  # a word this far from any speech was still spoken in it: recognisers' times are rough
OWN_GAP_MS = 600  # words without speech around them: a longer pause divides them
NOISE_MS = 500  # a shorter sound without words, of a side whose words are known, is noise
NEW_SENTENCE_MS = 1_000  # pieces of text further apart are different words, space or not
CHARACTER_MS, WORD_MS = 60, 120  # a word's length, where only its beginning is known


def words_of(pieces: Sequence[tuple[int, str]]) -> list[TimedWord]:
    """Return the words of the agent's text; ``pieces`` are (at_ms, text), text with its own leading space.

    A word begins with the piece that holds its first letter and ends before the next word; words of one
    piece follow each other at the pace of speech.
    """
    starts: list[tuple[int, str]] = []
    previous_ms = None
    for position, (at_ms, text) in enumerate(pieces):
        parts = text.split()
        if not parts:
            continue
        joins = previous_ms is not None and at_ms - previous_ms <= NEW_SENTENCE_MS and not text[0].isspace()
        if joins and starts:
            starts[-1] = (starts[-1][0], starts[-1][1] + parts.pop(0))
        room_ms = pieces[position + 1][0] - at_ms if position + 1 < len(pieces) else None
        starts += _paced(at_ms, parts, room_ms)
        # A piece that ends in a space says that its word is over.
        previous_ms = None if text[-1].isspace() else at_ms
    words = []
    for position, (start_ms, text) in enumerate(starts):
        end_ms = start_ms + _length_ms(text)
        if position + 1 < len(starts):
            end_ms = max(start_ms + 1, min(end_ms, starts[position + 1][0]))
        words.append(TimedWord(text, start_ms, end_ms))
    return words


def _paced(at_ms: int, parts: Sequence[str], room_ms: int | None) -> list[tuple[int, str]]:
    """Words with their starts, at the pace of speech, faster where the next piece comes sooner."""
    whole_ms = sum(_length_ms(part) for part in parts)
    pace = 1.0 if room_ms is None or whole_ms <= room_ms else room_ms / whole_ms
    starts, passed_ms = [], 0.0
    for part in parts:
        starts.append((round(at_ms + passed_ms), part))
        passed_ms += _length_ms(part) * pace
    return starts


@dataclass(frozen=True, slots=True)
class Spoken:
    """Both sides' IPUs, each with the words that were spoken in it."""

    caller: dict[Ipu, list[TimedWord]]
    agent: dict[Ipu, list[TimedWord]]


def ipus_of(
    caller_runs: Sequence[tuple[int, int]],
    agent_runs: Sequence[tuple[int, int]],
    caller_words: Sequence[TimedWord],
    agent_words: Sequence[TimedWord],
) -> Spoken:
    """Put each word into the IPU it was spoken in; runs are (start_ms, end_ms) of each side's activity.

    Words far from all speech make IPUs of their own. Sounds without words under 0.5 s, of a side whose
    words are known, are left out: a cough, a door, a dog.
    """
    return Spoken(_ipus("caller", caller_runs, caller_words), _ipus("agent", agent_runs, agent_words))


def turns_of(spoken: Spoken) -> list[Turn]:
    """Return a call's turns by start time; a turn in which no words are known has no text."""
    words = spoken.caller | spoken.agent
    return [_turn(turn, words) for turn in floor_turns(list(spoken.caller), list(spoken.agent))]


def _turn(turn: FloorTurn, words: dict[Ipu, list[TimedWord]]) -> Turn:
    spoken = [word for ipu in turn.ipus for word in words[ipu]]
    text = re.sub(r"\s+", " ", " ".join(word.text for word in spoken)).strip()
    return Turn(turn.side, turn.start_ms, turn.end_ms, text, tuple(spoken), turn.backchannel)


def _ipus(side: Side, runs: Sequence[tuple[int, int]], words: Sequence[TimedWord]) -> dict[Ipu, list[TimedWord]]:
    units = sorted(runs)
    spoken: dict[tuple[int, int], list[TimedWord]] = {run: [] for run in units}
    alone: list[TimedWord] = []
    for word in sorted(words, key=lambda word: (word.start_ms, word.end_ms)):
        run = _nearest(units, word)
        (alone if run is None else spoken[run]).append(word)
    for group in _groups(alone):
        run = (group[0].start_ms, max(group[0].start_ms + 1, *(word.end_ms for word in group)))
        spoken.setdefault(run, []).extend(group)
    return {
        Ipu(side, start_ms, end_ms, len(own) if words else None): own
        for (start_ms, end_ms), own in sorted(spoken.items())
        if own or not words or end_ms - start_ms >= NOISE_MS
    }


def _nearest(runs: Sequence[tuple[int, int]], word: TimedWord) -> tuple[int, int] | None:
    """The run that holds the word's middle, else the nearest within a second."""
    middle = (word.start_ms + word.end_ms) / 2
    position = bisect_right(runs, (middle, float("inf")))
    near = runs[max(0, position - 1) : position + 1]
    distance = {run: max(run[0] - middle, middle - run[1], 0) for run in near}
    best = min(distance, key=lambda run: distance[run], default=None)
    return best if best is not None and distance[best] <= NEAR_MS else None


def _groups(words: Sequence[TimedWord]) -> list[list[TimedWord]]:
    groups: list[list[TimedWord]] = []
    for word in words:
        if groups and word.start_ms - groups[-1][-1].end_ms <= OWN_GAP_MS:
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _length_ms(text: str) -> int:
    return WORD_MS + CHARACTER_MS * len(text)
