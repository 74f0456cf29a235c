"""Speech by eSpeak NG: a robot's voice, intelligible, 10 ms a sentence, from a package."""

import numpy as np

from agent.engines.cascade.espeak import Espeak
from agent.engines.cascade.ports import SpokenWord
from agent.engines.cascade.voice_sound import Kind, Raw

_VOICES: dict[Kind, str] = {"female": "en-us+f3", "male": "en-us"}
_RATE_WPM = 155


class EspeakSynthesiser:
    """Raises EngineUnavailable when eSpeak NG is not installed."""

    def __init__(self) -> None:
        self._espeak = Espeak()

    def __call__(self, text: str, kind: Kind) -> Raw:
        """Speak ``text``; blocks."""
        spoken = self._espeak.synthesise(text, _VOICES[kind], rate_wpm=_RATE_WPM)
        words = [SpokenWord(text[at : at + length], start_ms) for at, length, start_ms in spoken.words]
        return Raw(spoken.samples.astype(np.float32) / np.float32(32_768), spoken.sample_hz, words)
