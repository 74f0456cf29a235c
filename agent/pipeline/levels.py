"""How loud 80 ms are and whether that is speech, by a noise floor that follows the line; integers only.

rms ─▶ NoiseFloor.is_loud        rms, text ─▶ SilenceGate.is_open ─▶ sound | exact zeros
"""

import audioop

import numpy as np
from numpy.typing import NDArray

_FLOOR_FRAMES = 25  # speech has a dip within two seconds, noise has none
_ABOVE_FLOOR = 3  # 10 dB


def rms_of(pcm: NDArray[np.int16]) -> int:
    """Return the root mean square of [N] samples, 0 … 32 767."""
    return audioop.rms(pcm.data, 2)


class NoiseFloor:
    """The quietest frame of the last two to four seconds. What is 10 dB above it is loud.

    ``least`` is loud enough in no noise, ``most`` in any.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._lowest = self._lowest_before = least // _ABOVE_FLOOR
        self._frames = 0

    def is_loud(self, rms: int) -> bool:
        """Take the next frame's level; return whether it stands out."""
        if self._frames == _FLOOR_FRAMES:
            self._lowest_before, self._lowest, self._frames = self._lowest, rms, 0
        elif rms < self._lowest:
            self._lowest = rms
        self._frames += 1
        floor = min(self._lowest, self._lowest_before)
        return rms >= min(self._most, max(self._least, _ABOVE_FLOOR * floor))


class SilenceGate:
    """Tells an agent's speech from the noise that a model makes while it says nothing.

    A frame at ``SURE_RMS`` or over is never shut out; one under ``IDLE_RMS`` is, unless there was text lately: a
    model thinks a word when it begins to speak it, and pads the text while it is silent.
    """

    IDLE_RMS = 60
    SURE_RMS = 120
    FAINT_RMS = 20
    TEXT_FRAMES = 8
    HANG_FRAMES = 3

    def __init__(self) -> None:
        self._floor = NoiseFloor(self.IDLE_RMS, self.SURE_RMS)
        self._text_frames = 0
        self._hang_frames = 0

    def is_open(self, rms: int, *, has_text: bool) -> bool:
        """Take the next frame; return whether it is to be heard."""
        self._text_frames = self.TEXT_FRAMES if has_text else max(0, self._text_frames - 1)
        if self._floor.is_loud(rms) or (self._text_frames and rms >= self.FAINT_RMS):
            self._hang_frames = self.HANG_FRAMES
            return True
        if rms and self._hang_frames:
            self._hang_frames -= 1
            return True
        self._hang_frames = 0
        return False
