"""The timing of a conversation: onset latency, takeovers, backchannels, overlap, barge-in, dead air.

    IPUs of both sides ─▶ floor turns ─▶ Dynamics (one call) ─▶ pooled over calls: onset(), jsd_to_humans()

The definitions are those of the conversation-analysis literature (floor-transfer offset: Roberts,
Torreira & Levinson 2015; takeover rate: Service-Duplex-Bench); each function states its own.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from crm.activity import Activity, runs_ms
from crm.call import Side, Transfer
from crm.floor import FloorTurn, Ipu, floor_turns, ipus

PAUSE_MS = (200, 1_000)  # a pause in which the caller may go on
LONG_IPU_MS = 1_000
GOES_ON_MS = 1_000
STOPPED_MS = 500  # silence of the agent that counts as having stopped
YIELDED_MS = 2_000
KEPT_MS = 1_000
DEAD_AIR_MS = 2_000
EARLY_MS = 200  # an onset this much before a yield still answers it


@dataclass(frozen=True, slots=True)
class Onset:
    """Floor-transfer offsets in milliseconds, negative = overlap; shares in 0 … 1."""

    n: int
    mean_ms: float
    p10_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    share_negative: float
    share_under_200_ms: float
    share_over_700_ms: float
    share_over_2_s: float


@dataclass(frozen=True, slots=True)
class Takeovers:
    """Agent's onsets while the caller goes on, in the caller's speech and in its pauses, and the chances for them:
    caller's pauses of 0.2-1.0 s and caller's IPUs over 1 s. This is not Full-Duplex-Bench's TOR.
    """

    in_speech: int
    in_pause: int
    pauses: int
    long_ipus: int

    @property
    def rate(self) -> float | None:
        """False takeovers by chance; None where there was no chance."""
        chances = self.pauses + self.long_ipus
        return (self.in_speech + self.in_pause) / chances if chances else None


@dataclass(frozen=True, slots=True)
class Backchannels:
    """The agent's backchannels. ``positions`` are where in the caller's turn (0 … 1), ``lags_ms`` the time
    since the caller's last IPU ended (0 inside one).
    """

    count: int
    caller_floor_ms: int
    positions: tuple[float, ...]
    lags_ms: tuple[int, ...]

    @property
    def per_minute(self) -> float | None:
        """Backchannels a minute of caller's floor; None where the caller never had it."""
        return self.count * 60_000 / self.caller_floor_ms if self.caller_floor_ms else None


@dataclass(frozen=True, slots=True)
class Overlap:
    """Both at once: ``ms`` in all, by who began to speak into the other's speech, backchannels apart."""

    ms: int
    speech_ms: int
    by_caller_ms: int
    by_agent_ms: int
    by_backchannel_ms: int

    @property
    def share(self) -> float | None:
        """Overlapped part of the time somebody speaks; None where nobody does."""
        return self.ms / self.speech_ms if self.speech_ms else None


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller began to speak into the agent's turn; ``stop_ms`` until the agent's 0.5 s of silence began."""

    at_ms: int
    stop_ms: int

    @property
    def yielded(self) -> bool:
        return self.stop_ms <= YIELDED_MS


@dataclass(frozen=True, slots=True)
class Dynamics:
    """One call's timing. ``transfers`` are caller → agent; ``kept`` of the ``caller_backchannels`` did not stop
    the agent; ``dead_air_ms`` are the silences over 2 s, whole.
    """

    duration_ms: int
    transfers: tuple[Transfer, ...]
    takeovers: Takeovers
    backchannels: Backchannels
    overlap: Overlap
    barge_ins: tuple[BargeIn, ...]
    caller_backchannels: int
    kept: int
    dead_air_count: int
    dead_air_ms: int
    agent_answered: bool

    def summary(self) -> dict[str, Any]:
        """Return everything as plain data, with the rates beside their counts."""
        measured = onset([transfer.offset_ms for transfer in self.transfers])
        rates = {
            "onset": asdict(measured) if measured else None,
            "false_takeover_rate": self.takeovers.rate,
            "backchannels_per_minute": self.backchannels.per_minute,
            "overlap_share": self.overlap.share,
        }
        return asdict(self) | rates


def dynamics(caller: Activity, agent: Activity) -> Dynamics:
    """Measure one call from both sides' voice activity, [N] bool on the 10 ms grid, as crm.activity gives it."""
    duration_ms = 10 * max(len(caller), len(agent))
    return dynamics_of(ipus("caller", runs_ms(caller)), ipus("agent", runs_ms(agent)), duration_ms)


def dynamics_of(caller: Sequence[Ipu], agent: Sequence[Ipu], duration_ms: int) -> Dynamics:
    """Measure one call from both sides' IPUs, which may know their number of words."""
    turns = floor_turns(caller, agent)
    listening = {turn.ipus[0] for turn in turns if turn.backchannel}
    barge_ins = tuple(_barge_ins(turns, agent))
    caller_backchannels = [turn for turn in turns if turn.backchannel and turn.side == "caller"]
    silences = [length for length in _silences(caller, agent, duration_ms) if length > DEAD_AIR_MS]
    first_caller_ms = min((ipu.start_ms for ipu in caller), default=duration_ms)
    return Dynamics(
        duration_ms=duration_ms,
        transfers=tuple(_transfers(turns)),
        takeovers=_takeovers(turns, [ipu for ipu in caller if ipu not in listening]),
        backchannels=_backchannels(turns),
        overlap=_overlap(caller, agent, listening),
        barge_ins=barge_ins,
        caller_backchannels=len(caller_backchannels),
        kept=sum(_stop_ms(turn.start_ms, agent) > KEPT_MS for turn in caller_backchannels),
        dead_air_count=len(silences),
        dead_air_ms=sum(silences),
        agent_answered=any(ipu.start_ms >= first_caller_ms for ipu in agent if ipu not in listening),
    )


def onset(offsets_ms: Sequence[float]) -> Onset | None:
    """Describe floor-transfer offsets: agent's start − caller's end; None without any."""
    if not len(offsets_ms):
        return None
    values = np.asarray(offsets_ms, float)
    p10, p50, p90, p95 = (round(float(value), 1) for value in np.percentile(values, [10, 50, 90, 95]))
    return Onset(
        n=len(values),
        mean_ms=round(float(values.mean()), 1),
        p10_ms=p10,
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        share_negative=float((values < 0).mean()),
        share_under_200_ms=float((values < 200).mean()),
        share_over_700_ms=float((values > 700).mean()),
        share_over_2_s=float((values > 2_000).mean()),
    )


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Agent's onsets against gold yields."""

    precision: float | None
    recall: float | None
    f1: float | None


def turn_boundaries(yields_ms: Sequence[int], onsets_ms: Sequence[int], tau_ms: int) -> Boundaries:
    """Match each gold yield y with one onset in [y − 0.2 s, y + tau]. Exact only where the caller is scripted."""
    left = sorted(onsets_ms)
    hits = 0
    for gold in sorted(yields_ms):
        match = next((at for at in left if gold - EARLY_MS <= at <= gold + tau_ms), None)
        if match is not None:
            left.remove(match)
            hits += 1
    precision = hits / len(onsets_ms) if onsets_ms else None
    recall = hits / len(yields_ms) if yields_ms else None
    # F1 = 2 P R / (P + R) = 2 hits / (onsets + yields)
    total = len(onsets_ms) + len(yields_ms)
    return Boundaries(precision, recall, 2 * hits / total if total else None)


def _floor_changes(turns: Sequence[FloorTurn]) -> list[tuple[FloorTurn, FloorTurn]]:
    return list(pairwise(turn for turn in turns if not turn.backchannel))


def _transfers(turns: Sequence[FloorTurn]) -> list[Transfer]:
    changes = _floor_changes(turns)
    return [Transfer(new.start_ms, new.start_ms - old.end_ms) for old, new in changes if new.side == "agent"]


def _takeovers(turns: Sequence[FloorTurn], caller: Sequence[Ipu]) -> Takeovers:
    """Count where the agent took the floor though the caller was speaking, or spoke again within 1 s."""
    in_speech = in_pause = 0
    for old, new in _floor_changes(turns):
        if old.side != "caller":
            continue
        at_ms = new.start_ms
        if any(ipu.start_ms <= at_ms < ipu.end_ms for ipu in caller):
            in_speech += 1
        elif any(at_ms < ipu.start_ms < at_ms + GOES_ON_MS for ipu in caller):
            in_pause += 1
    own = sorted(caller, key=lambda ipu: ipu.start_ms)
    pauses = sum(PAUSE_MS[0] <= after.start_ms - before.end_ms <= PAUSE_MS[1] for before, after in pairwise(own))
    return Takeovers(in_speech, in_pause, pauses, sum(ipu.end_ms - ipu.start_ms > LONG_IPU_MS for ipu in caller))


def _backchannels(turns: Sequence[FloorTurn]) -> Backchannels:
    held = [turn for turn in turns if not turn.backchannel and turn.side == "caller"]
    positions, lags = [], []
    count = 0
    for turn in turns:
        if not (turn.backchannel and turn.side == "agent"):
            continue
        count += 1
        host = next((own for own in held if own.start_ms <= turn.start_ms < own.end_ms), None)
        if host is not None:
            positions.append((turn.start_ms - host.start_ms) / (host.end_ms - host.start_ms))
            before = [ipu for ipu in host.ipus if ipu.start_ms <= turn.start_ms]
            lags.append(max(0, turn.start_ms - before[-1].end_ms))
    floor_ms = sum(turn.end_ms - turn.start_ms for turn in held)
    return Backchannels(count, floor_ms, tuple(positions), tuple(lags))


def _overlap(caller: Sequence[Ipu], agent: Sequence[Ipu], listening: set[Ipu]) -> Overlap:
    by: dict[Side | str, int] = {"caller": 0, "agent": 0, "backchannel": 0}
    total = 0
    for one in caller:
        for other in agent:
            both_ms = min(one.end_ms, other.end_ms) - max(one.start_ms, other.start_ms)
            if both_ms > 0:
                total += both_ms
                second = max(other, one, key=lambda ipu: ipu.start_ms)
                by["backchannel" if second in listening else second.side] += both_ms
    speech_ms = sum(ipu.end_ms - ipu.start_ms for ipu in (*caller, *agent)) - total
    return Overlap(total, speech_ms, by["caller"], by["agent"], by["backchannel"])


def _barge_ins(turns: Sequence[FloorTurn], agent: Sequence[Ipu]) -> list[BargeIn]:
    """Where the caller took the floor while the agent was speaking."""
    found = []
    for old, new in _floor_changes(turns):
        if new.side == "caller" and new.start_ms < old.end_ms:
            found.append(BargeIn(new.start_ms, _stop_ms(new.start_ms, agent)))
    return found


def _stop_ms(onset_ms: int, agent: Sequence[Ipu]) -> int:
    """Time from an onset to the beginning of the agent's first silence of 0.5 s."""
    stop_ms = onset_ms
    for ipu in sorted(agent, key=lambda ipu: ipu.start_ms):
        if ipu.end_ms <= stop_ms:
            continue
        if ipu.start_ms - stop_ms >= STOPPED_MS:
            break
        stop_ms = ipu.end_ms
    return stop_ms - onset_ms


def _silences(caller: Sequence[Ipu], agent: Sequence[Ipu], duration_ms: int) -> list[int]:
    """Lengths of the stretches in which nobody speaks, from the call's beginning to its end."""
    lengths, silent_from = [], 0
    for ipu in sorted((*caller, *agent), key=lambda ipu: ipu.start_ms):
        lengths.append(ipu.start_ms - silent_from)
        silent_from = max(silent_from, ipu.end_ms)
    return [*lengths, duration_ms - silent_from]
