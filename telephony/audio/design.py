"""Designs the filter of ``telephony.audio.resample``; its taps are kept as a table, because the design takes scipy.

python -m telephony.audio.design > telephony/audio/low_pass.py

Parks-McClellan, 97 taps at 24 kHz: pass to 3.4 kHz, stop from 4.6 kHz.
"""

import numpy as np
from numpy.typing import NDArray

TAPS = 97
_HIGH_HZ = 24_000
_PASS_HZ, _STOP_HZ = 3_400, 8_000 - 3_400
_STOP_WEIGHT = 10.0  # how much more an image or alias counts than a ripple in the pass band


def design() -> NDArray[np.float64]:
    """Return the filter, [97] float64, symmetric, with unit gain at 0 Hz."""
    from scipy.signal import remez  # takes a second to import

    bands = [0, _PASS_HZ, _STOP_HZ, _HIGH_HZ / 2]
    taps = remez(TAPS, bands, [1, 0], weight=[1, _STOP_WEIGHT], fs=_HIGH_HZ)
    return taps / taps.sum()


def main() -> None:
    """Print the table: the first half and the middle, the rest is their mirror."""
    half = design()[: TAPS // 2 + 1]
    lines = [f"    {tap:.12e}," for tap in half]
    print('"""The low-pass of the resamplers, made by telephony.audio.design: the first half and the middle tap."""\n')  # noqa: T201
    print("\n".join(("HALF = (", *lines, ")")))  # noqa: T201


if __name__ == "__main__":
    main()
