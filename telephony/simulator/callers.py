"""Who is on the phone: somebody with recordings, or with a script and a voice."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pcm8k = NDArray[np.int16]


class Caller(Protocol):
    """What the caller does, 20 ms at a time."""

    def tick(self, at_ms: int, heard: Pcm8k) -> Pcm8k | None:
        """Hear [160] int16, return the [160] said in the same 20 ms, None to hang up."""
        ...
