"""Where a track holds speech: Silero's probabilities at 8 kHz, made into segments as silero-vad's own function does."""

from collections.abc import Sequence
from pathlib import Path

from agent.engines.cascade.activity import WINDOW_MS, Silero, VoiceActivity
from agent.offline import read_recording

Segment = tuple[float, float]
"""(start, end) in seconds."""

THRESHOLD, LEAVING = 0.5, 0.35
LEAST_SPEECH_S, LEAST_SILENCE_S, PAD_S = 0.25, 0.1, 0.03
"""The defaults of silero-vad's ``get_speech_timestamps``, which the benchmark uses."""


def speech(path: Path, silero: Silero) -> list[Segment]:
    """Return the segments of speech of a sound file.

    Raises:
        RecordingError: it can't be read.
    """
    activity = VoiceActivity(silero)
    windows = [window for frame in read_recording(path) for window in activity.hear(frame)[1]]
    return segments([window.probability for window in windows])


def segments(probabilities: Sequence[float]) -> list[Segment]:
    """Return the segments of windows of 32 ms that hold speech with these probabilities.

    A segment begins at 0.5 and ends where it stays under 0.35 for 0.1 s; those of up to 0.25 s are dropped, the
    others widened by 30 ms on both sides, or to the middle of a shorter silence.
    """
    second = WINDOW_MS / 1000
    found: list[list[float]] = []
    start = quiet_from = None
    for at, probability in enumerate(probabilities):
        if probability >= THRESHOLD:
            quiet_from = None
            start = at if start is None else start
        elif start is not None and probability < LEAVING:
            quiet_from = at if quiet_from is None else quiet_from
            if (at - quiet_from) * second >= LEAST_SILENCE_S:
                if (quiet_from - start) * second > LEAST_SPEECH_S:
                    found.append([start * second, quiet_from * second])
                start = quiet_from = None
    length_s = len(probabilities) * second
    if start is not None and length_s - start * second > LEAST_SPEECH_S:
        found.append([start * second, length_s])
    bounds = [0.0, *[time for segment in found for time in segment], length_s]
    for position, segment in enumerate(found):
        before, after = bounds[2 * position], bounds[2 * position + 3]
        room_before = segment[0] - before if position == 0 else (segment[0] - before) / 2
        room_after = after - segment[1] if position == len(found) - 1 else (after - segment[1]) / 2
        segment[0] -= min(PAD_S, room_before)
        segment[1] += min(PAD_S, room_after)
    return [(start, end) for start, end in found]


def merged(found: Sequence[Segment], gap_s: float) -> list[Segment]:
    """Join segments with gaps of up to ``gap_s`` between them."""
    whole: list[Segment] = []
    for start, end in sorted(found):
        if whole and start - whole[-1][1] <= gap_s:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole
