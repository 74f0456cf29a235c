"""Who holds the floor: inter-pausal units of both sides → turns, backchannels and floor transfers.

caller  ▇▇▇ ▇▇▇▇▇          ▇▇▇          an IPU is speech with its pauses under 180 ms filled,
agent        ▪    ▇▇▇▇▇▇▇▇▇    ▇▇▇      a turn a run of one side's IPUs with no floor change between
             backchannel
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from crm.call import Side

BACKCHANNEL_MS = 1_000  # a backchannel is shorter
BACKCHANNEL_WORDS = 2  # and has no more words
REACTION_MS = 200  # nobody answers what began less than this ago


@dataclass(frozen=True, slots=True)
class Ipu:
    """An inter-pausal unit: speech of one side without a silence of 180 ms. ``words`` None: not known."""

    side: Side
    start_ms: int
    end_ms: int
    words: int | None = None


@dataclass(frozen=True, slots=True)
class FloorTurn:
    """A run of one side's IPUs between two floor changes; backchannels are turns of one IPU that take no floor."""

    side: Side
    ipus: tuple[Ipu, ...]
    backchannel: bool = False

    @property
    def start_ms(self) -> int:
        return self.ipus[0].start_ms

    @property
    def end_ms(self) -> int:
        return max(ipu.end_ms for ipu in self.ipus)


def ipus(side: Side, runs_ms: Iterable[tuple[int, int]]) -> list[Ipu]:
    """Return a side's IPUs from the stretches of its activity."""
    return [Ipu(side, start_ms, end_ms) for start_ms, end_ms in runs_ms]


def floor_turns(caller: Sequence[Ipu], agent: Sequence[Ipu]) -> list[FloorTurn]:
    """Return the turns and backchannels of a call, by start time.

    A side takes the floor when it begins to speak and the other had it, unless that is a backchannel.
    """
    own = {"caller": caller, "agent": agent}
    turns: list[FloorTurn] = []
    holding: list[Ipu] = []
    backchannels: list[FloorTurn] = []
    for ipu in sorted(chain(caller, agent), key=lambda ipu: (ipu.start_ms, ipu.end_ms, ipu.side)):
        if not holding or holding[-1].side == ipu.side:
            holding.append(ipu)
        elif is_backchannel(ipu, own[holding[-1].side]):
            backchannels.append(FloorTurn(ipu.side, (ipu,), backchannel=True))
        else:
            turns.append(FloorTurn(holding[-1].side, tuple(holding)))
            holding = [ipu]
    if holding:
        turns.append(FloorTurn(holding[-1].side, tuple(holding)))
    return sorted([*turns, *backchannels], key=lambda turn: turn.start_ms)


def is_backchannel(ipu: Ipu, holder: Sequence[Ipu]) -> bool:
    """Return whether an IPU of the side that listens is a backchannel: under 1 s, at most two words, begun
    while the holder of the floor, whose IPUs are given, speaks (or goes on sooner than it can have heard it),
    and ended while the holder speaks: it did not give the floor away.
    """
    if ipu.end_ms - ipu.start_ms >= BACKCHANNEL_MS or (ipu.words or 0) > BACKCHANNEL_WORDS:
        return False
    begins_under = any(other.start_ms < ipu.start_ms + REACTION_MS and ipu.start_ms < other.end_ms for other in holder)
    return begins_under and any(other.start_ms < ipu.end_ms < other.end_ms for other in holder)
