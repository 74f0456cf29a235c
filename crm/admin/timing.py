"""The timing of many conversations as the Overview shows it: how soon the agent answers, beside people."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from crm.analytics import Timing
from crm.reference import EDGES_MS, Divergence, human_shares, jsd_to_humans
from personas.admin.rendering import delay

LEAST_COMPARED = 100
"""Fewer offsets differ from people's by chance alone about as much as systems do."""


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar of the histogram; heights are of 100, people's beside the agent's."""

    title: str
    count: int
    height: float
    people: float


@dataclass(frozen=True, slots=True)
class ShownTiming:
    """What the card shows; ``figures`` and ``facts`` are (title, text), ``compared`` a sentence or empty."""

    bins: tuple[Bin, ...]
    figures: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    compared: str


def shown_timing(timing: Timing) -> ShownTiming | None:
    """Return what is shown of a timing, None where no conversation was measured; takes tens of milliseconds."""
    if not timing.measured:
        return None
    number = sum(timing.waits)
    divergence = jsd_to_humans(timing.waits) if number >= LEAST_COMPARED else None
    return ShownTiming(
        bins(timing.waits), tuple(_figures(timing, number)), tuple(_facts(timing)), _compared(divergence)
    )


def bins(waits: tuple[int, ...]) -> tuple[Bin, ...]:
    """Return the histogram of offsets by bin of ``crm.reference``, with people's shares to the same scale."""
    number, people = sum(waits), human_shares()
    if not number:
        return ()
    highest = max(max(waits) / number, float(people.max()))
    seconds = [f"{edge / 1000:.1f}" for edge in EDGES_MS]
    titles = [
        f"under {seconds[0]} s",
        *(f"{low} to {high} s" for low, high in pairwise(seconds)),
        f"{seconds[-1]} s and more",
    ]
    return tuple(
        Bin(title, count, round(100 * count / number / highest, 2), round(100 * float(share) / highest, 2))
        for title, count, share in zip(titles, waits, people, strict=True)
    )


def _figures(timing: Timing, number: int) -> list[tuple[str, str]]:
    if timing.p50_ms is None or timing.p90_ms is None:
        return []
    begun_early = sum(timing.waits[: 1 + int(np.searchsorted(EDGES_MS, 0))])
    return [
        ("Answers after, median", delay(timing.p50_ms)),
        ("9 of 10 within", delay(timing.p90_ms)),
        ("Before the caller has ended", _percent(begun_early / number)),
        ("After 2 s and more", _percent(timing.waits[-1] / number)),
    ]


def _facts(timing: Timing) -> list[tuple[str, str]]:
    found = [("Silences over 2 s", f"{timing.dead_air:,} in {timing.dead_air_calls:,} of {timing.measured:,} calls")]
    if timing.unanswered:
        found.append(("Never answered by the agent", f"{timing.unanswered:,} of {timing.measured:,} calls"))
    if timing.false_takeover_rate is not None:
        found.append(("Cut in on the caller", f"{_percent(timing.false_takeover_rate)} of occasions"))
    if timing.overlap_share is not None:
        found.append(("Both speak at once", f"{_percent(timing.overlap_share)} of speech"))
    if timing.backchannels_per_minute is not None:
        found.append(("Agent’s “mm-hm”", f"{timing.backchannels_per_minute:.1f} a minute of caller"))
    return found


def _compared(divergence: Divergence | None) -> str:
    if divergence is None:
        return f"From {LEAST_COMPARED} answers on they are compared with people’s."
    chance = f"up to {divergence.null_p95_bits:.3f}" if divergence.null_p95_bits >= 0.001 else "less than 0.001"
    return (
        f"{divergence.jsd_bits:.3f} bits from people (Jensen-Shannon divergence of {divergence.n:,} answers); "
        f"by chance alone as many of people’s would be {chance} off."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.1 else f"{100 * share:.1f} %"
