"""Who speaks when: voice activity of a track by energy over an adaptive noise floor, on a 10 ms grid."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from crm.tracks import SAMPLE_HZ, Pcm

GRID_MS = 10
MIN_SPEECH_MS = 80
FILLED_SILENCE_MS = 180  # shorter silences are inside an inter-pausal unit
LOWEST_DB = -65.0  # of full scale; quieter noise floors count as this
QUIETEST_SPEECH_DB = -48.0
ON_DB, OFF_DB = 12.0, 7.0  # above the floor: where speech is found, and how far it reaches
FLOOR_WINDOW_S = 10

Activity = NDArray[np.bool_]


def activity(track: Pcm) -> Activity:
    """Return where a side speaks, [ceil(N / 80)] bool, one a 10 ms, for [N] int16 at 8 kHz.

    A sound is speech where it stands 12 dB over the floor, the quiet tenth of the 10 s around it,
    and reaches as far as it stays 7 dB over it. Sounds under 80 ms are dropped, then silences under
    180 ms filled.
    """
    level = _level_db(track)
    if not len(level):
        return np.zeros(0, bool)
    floor = _floor_db(level)
    on = level > np.maximum(floor + ON_DB, QUIETEST_SPEECH_DB)
    reach = level > np.maximum(floor + OFF_DB, QUIETEST_SPEECH_DB - (ON_DB - OFF_DB))
    for start_ms, end_ms in runs_ms(reach):
        sound = slice(start_ms // GRID_MS, end_ms // GRID_MS)
        reach[sound] = on[sound].any()
    return tidy(reach)


def tidy(active: Activity) -> Activity:
    """Drop speech under 80 ms, then fill silences under 180 ms between speech."""
    runs = [(start, end) for start, end in runs_ms(active) if end - start >= MIN_SPEECH_MS]
    result = np.zeros(len(active), bool)
    previous_end = None
    for start, end in runs:
        if previous_end is not None and start - previous_end < FILLED_SILENCE_MS:
            start = previous_end
        result[start // GRID_MS : end // GRID_MS] = True
        previous_end = end
    return result


def runs_ms(active: Activity) -> list[tuple[int, int]]:
    """Return the stretches of speech as (start_ms, end_ms)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    return [(int(start) * GRID_MS, int(end) * GRID_MS) for start, end in edges.reshape(-1, 2)]


def _level_db(track: Pcm) -> NDArray[np.float32]:
    """Mean power of each 10 ms in dB of full scale, over 30 ms around it; read in pieces, so an hour fits memory."""
    block = SAMPLE_HZ * GRID_MS // 1000
    piece = block * 6_000
    powers = []
    for start in range(0, len(track), piece):
        samples = np.asarray(track[start : start + piece], np.float32)
        samples = np.pad(samples, (0, -len(samples) % block)).reshape(-1, block) / 32_768
        powers.append((samples**2).mean(axis=1))
    if not powers:
        return np.zeros(0, np.float32)
    smooth = np.convolve(np.pad(np.concatenate(powers), 1, mode="edge"), np.full(3, 1 / 3, np.float32), "valid")
    return 10 * np.log10(np.maximum(smooth, 1e-10))


def _floor_db(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """The quiet tenth of the 10 s around each 10 ms."""
    coarse = level[: len(level) // 10 * 10].reshape(-1, 10).mean(axis=1) if len(level) >= 10 else level[:1]
    window = min(FLOOR_WINDOW_S * 10, 2 * len(coarse))
    around = np.pad(coarse, (window // 2, max(0, window - window // 2 - 1)), mode="edge")
    rank = window // 10
    # An hour is 36 000 windows of 100: a thousand at a time, so that they fit the processor's cache.
    windows = sliding_window_view(around, max(1, window))
    pieces = [np.partition(windows[at : at + 1_000], rank, axis=1)[:, rank] for at in range(0, len(windows), 1_000)]
    floor = np.concatenate(pieces)
    return np.maximum(np.repeat(floor, 10), LOWEST_DB)[np.minimum(np.arange(len(level)), len(floor) * 10 - 1)]
