"""The benchmark's measures, as its scripts compute them: a sample's words and segments → Scores.

Names begin with ``fdb_`` wherever they stand beside Parley's own: its takeover rate is another thing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import jensenshannon

from agent.bench.full_duplex.samples import Sample, Task, Word
from agent.bench.full_duplex.speech import Segment, merged

TURN_S, TURN_WORDS = 1.0, 3
BACKCHANNEL_WORDS = 2
SPEAKING_S = 3.0
HISTOGRAM_S = 0.2
NO_BACKCHANNEL_JSD = 1.0
USER_GAP_S, MODEL_GAP_S = 0.6, 0.5


@dataclass(frozen=True, slots=True)
class Scores:
    """One sample's. ``None`` where the task does not ask for it, or the agent gave no occasion.

    ``took_turn``: the benchmark's TOR, 0 or 1. ``latency_s``: from the annotated moment to the agent's first word,
    0 at least, where it took the turn. ``backchannels_per_s``, ``backchannel_jsd``: v1's. ``stops_s``,
    ``responses_s``: v1.5's, one for each overlap and each answer.
    """

    took_turn: int | None = None
    latency_s: float | None = None
    backchannels_per_s: float | None = None
    backchannel_jsd: float | None = None
    stops_s: tuple[float, ...] = ()
    responses_s: tuple[float, ...] = ()


def took_turn(words: Sequence[Word]) -> int:
    """Return TOR: 0 without words, or where up to three of them last under a second in all; else 1."""
    if not words:
        return 0
    return int(words[-1].end_s - words[0].start_s >= TURN_S or len(words) > TURN_WORDS)


def score_words(sample: Sample, words: Sequence[Word]) -> Scores:
    """Score pauses, turns and interruptions by the agent's words.

    Latency runs from the beginning of v1's annotated ``[TURN-TAKING]``, or from the end of an interruption, which
    nothing before it counts for: what the agent says across its end counts from there.
    """
    if sample.task is Task.INTERRUPTION and sample.at_s:
        end_s = sample.at_s[1]
        words = [Word(word.text, max(word.start_s, end_s), word.end_s) for word in words if word.end_s > end_s]
    took = took_turn(words)
    if sample.task is Task.PAUSE or sample.at_s is None or not took:
        return Scores(took)
    since_s = sample.at_s[1] if sample.task is Task.INTERRUPTION else sample.at_s[0]
    return Scores(took, max(0.0, words[0].start_s - since_s))


def score_backchannels(
    spoken: Sequence[Segment], words: Sequence[Word], length_s: float, people: Sequence[float] | None
) -> Scores:
    """Score the agent's segments while somebody tells something.

    A segment over 3 s is a turn, and ends the search; a shorter one counts as a backchannel, whether or not the
    last of them decides that the turn was taken: by over three words, by a second's length, or by over two words.

    Args:
        people: how people's backchannels to this sample are spread over its length; None leaves the divergence out.
    """
    took, found = 0, []
    for start_s, end_s in spoken:
        if end_s - start_s > SPEAKING_S:
            took = 1
            break
        count = sum(word.start_s <= end_s and (word.start_s >= start_s or word.end_s > start_s) for word in words)
        took = int(count > BACKCHANNEL_WORDS or end_s - start_s >= TURN_S)
        found.append((start_s, end_s))
    jsd = None if people is None else divergence(found, length_s, people)
    return Scores(took, backchannels_per_s=len(found) / length_s, backchannel_jsd=jsd)


def divergence(found: Sequence[Segment], length_s: float, people: Sequence[float]) -> float:
    """Return how far backchannels lie from people's: the square root of the Jensen-Shannon divergence in nats.

    From 0 to 0.8326; 1 without any. Bins of 0.2 s, each with 1e-10 added, people's stretched to as many.
    """
    if not found:
        return NO_BACKCHANNEL_JSD
    counts = np.zeros(int(length_s / HISTOGRAM_S) + 1)
    for start_s, end_s in found:
        counts[int(start_s / HISTOGRAM_S) : int(end_s / HISTOGRAM_S) + 1] += 1
    shown = np.interp(np.linspace(0, 1, len(counts)), np.linspace(0, 1, len(people)), people)
    return float(jensenshannon(counts + 1e-10, shown))


def score_overlap(user: Sequence[Segment], agent: Sequence[Segment]) -> Scores:
    """Score v1.5's timing: how long each overlap lasts until one side stops, and how soon the agent answers.

    Of overlaps that end together the shortest counts, of answers that begin together the soonest.
    """
    user, agent = merged(user, USER_GAP_S), merged(agent, MODEL_GAP_S)
    stops: dict[int, float] = {}
    for start_s, end_s in ((max(u[0], a[0]), min(u[1], a[1])) for u in user for a in agent):
        if end_s > start_s:
            at_ms = round(end_s * 1000)
            stops[at_ms] = min(end_s - start_s, stops.get(at_ms, np.inf))
    responses: dict[int, float] = {}
    for _, end_s in user:
        following = next((start_s for start_s, _ in agent if start_s > end_s), None)
        if following is not None:
            at_ms = round(following * 1000)
            responses[at_ms] = min(following - end_s, responses.get(at_ms, np.inf))
    return Scores(stops_s=tuple(stops.values()), responses_s=tuple(responses.values()))
