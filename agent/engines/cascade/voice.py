"""The voice that runs from packages alone, and the choice of a voice.

written text ──speakable──▶ flite | eSpeak NG ──▶ trim, level, 24 kHz ──▶ Speech, words timed
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np
import structlog

from agent.duplex import SAMPLE_HZ, EngineUnavailable
from agent.engines.cascade.normalise import speakable
from agent.engines.cascade.ports import Speech, Voice
from agent.engines.cascade.voice_endpoint import SpeechEndpointVoice
from agent.engines.cascade.voice_espeak import EspeakSynthesiser
from agent.engines.cascade.voice_flite import FliteFailed, FliteSynthesiser, flite_program
from agent.engines.cascade.voice_hum import hum, is_hum
from agent.engines.cascade.voice_sound import Kind, Raw, finished, kind_of

log = structlog.get_logger(__name__)

_CACHE_BYTES = 32 << 20


class EmbeddedVoice:
    """flite where its program is installed, else eSpeak NG; ``tts`` is auto, flite or espeak.

    Sentences are kept (32 MB of them), since a card's answers come again and again.
    """

    def __init__(self, tts: str) -> None:
        self._tts = tts
        self._synthesise: Callable[[str, Kind], Raw] | None = None
        self._espeak: EspeakSynthesiser | None = None
        self._kept: OrderedDict[tuple[str, Kind], Speech] = OrderedDict()
        self._kept_bytes = 0

    async def start(self) -> None:
        """Load the synthesisers.

        Raises:
            EngineUnavailable: the one asked for is not installed.
        """
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        self._espeak = EspeakSynthesiser()
        wants_flite = self._tts == "flite" or (self._tts == "auto" and flite_program() is not None)
        try:
            self._synthesise = FliteSynthesiser() if wants_flite else self._espeak
        except (EngineUnavailable, FliteFailed):
            if self._tts == "flite":
                raise
            self._synthesise = self._espeak

    async def speak(self, text: str, voice: str) -> Speech:
        """Synthesise one written sentence; see ``Voice.speak``. Words are those of ``text`` as written."""
        key = (text, kind_of(voice))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        speech = await asyncio.to_thread(self._make, *key)
        if key not in self._kept:
            self._kept[key] = speech
            self._kept_bytes += speech.audio.nbytes
        while self._kept_bytes > _CACHE_BYTES:
            self._kept_bytes -= self._kept.popitem(last=False)[1].audio.nbytes
        return speech

    async def close(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0

    def _make(self, text: str, kind: Kind) -> Speech:
        if self._synthesise is None or self._espeak is None:
            raise EngineUnavailable("The voice was not started.")
        if is_hum(text):
            return finished(text, hum(text, kind))
        said = speakable(text)
        if not any(character.isalnum() for character in said):  # flite makes a noise of its own for it
            return Speech(np.zeros(0, np.float32), SAMPLE_HZ, ())
        try:
            raw = self._synthesise(said, kind)
        except FliteFailed:
            log.warning("flite failed; eSpeak NG speaks instead")
            raw = self._espeak(said, kind)
        return finished(text, raw)


def make_voice(options: Mapping[str, str]) -> Voice:
    """Choose the voice: a speech endpoint where ``speech_base_url`` is set, else the embedded one.

    ``speech_base_url``, ``speech_api_key``, ``speech_model`` and ``tts`` are read. Nothing is loaded
    before ``start``.

    Raises:
        EngineUnavailable: ``tts`` is none of auto, flite, espeak, or the endpoint can't be used as it stands.
    """
    tts = options.get("tts") or "auto"
    if tts not in ("auto", "flite", "espeak"):
        raise EngineUnavailable(f"PARLEY_TTS is {tts!r}; it must be auto, flite or espeak.")
    embedded = EmbeddedVoice(tts)
    url = options.get("speech_base_url", "")
    if not url:
        return embedded
    if not url.startswith(("http://", "https://")):
        raise EngineUnavailable("PARLEY_SPEECH_BASE_URL must begin with https:// or http://.")
    return SpeechEndpointVoice(url, options.get("speech_api_key", ""), options.get("speech_model", ""), embedded)
