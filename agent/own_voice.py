"""The voice that Parley itself speaks with in a call, whatever engine carries it: the embedded cascade's.

sentence ─▶ agent.engines.cascade.voice ─▶ 24 kHz ─▶ Downsampler ─▶ 8 kHz
"""

import asyncio
import contextlib
import threading
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.duplex import DuplexError
from telephony.audio.resample import Downsampler

_TAIL_SAMPLES = 240  # what the filter still holds at the end of a sentence
_MULTIPLE = 3


class OwnVoice:
    """Loaded by name on first use, so that a server without the cascade's packages starts all the same."""

    def __init__(self, tts: str) -> None:
        """``tts`` is the setting's value."""
        self._tts = tts
        self._voice: Any = None
        self._loading = threading.Lock()

    def load(self) -> Any:
        """Import the voice, open its libraries and return it; quick the second time. Blocks: call it in a thread.

        Raises:
            ImportError, agent.duplex.EngineUnavailable: its packages are not installed.
        """
        with self._loading:
            if self._voice is None:
                voice = import_module("agent.engines.cascade.voice").EmbeddedVoice(self._tts)
                asyncio.run(voice.start())
                self._voice = voice
            return self._voice

    def load_quietly(self) -> None:
        """Load it ahead of the first call; what is missing is said where it is missed."""
        with contextlib.suppress(ImportError, DuplexError, OSError):
            self.load()

    async def __call__(self, text: str, voice: str) -> NDArray[np.int16]:
        """Speak a sentence in a card's voice, or the nearest; return [N] int16 at 8 kHz. Raises as ``load``."""
        speaker = self._voice or await asyncio.to_thread(self.load)
        speech = await speaker.speak(text, voice)
        return await asyncio.to_thread(_to_phone, speech.audio)


def _to_phone(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    padded = np.pad(audio, (0, _TAIL_SAMPLES + -(len(audio) + _TAIL_SAMPLES) % _MULTIPLE))
    return Downsampler().process(padded)
