"""A voice at any OpenAI-compatible ``/audio/speech`` endpoint, with the embedded voice to fall back on."""

import asyncio
import io
import time
import wave

import httpx
import numpy as np
import structlog

from agent.engines.cascade.ports import Speech, Voice
from agent.engines.cascade.voice_sound import Raw, finished, kind_of

log = structlog.get_logger(__name__)

_TIMEOUT = httpx.Timeout(6.0, connect=2.0)
_PCM_HZ = 24_000  # what the response format "pcm" means there
_MOST_BYTES = _PCM_HZ * 2 * 120
_REST_S = 30.0
_VOICES = {"female": "nova", "male": "onyx"}
_MODEL = "tts-1"


class EndpointFailed(Exception):
    """The endpoint gave no speech; the message says why, without the text."""


class SpeechEndpointVoice:
    """Asks the endpoint for each sentence. One that fails is spoken by ``fallback``, as are those of the next 30 s."""

    def __init__(self, base_url: str, api_key: str, model: str, fallback: Voice) -> None:
        self._url = base_url.rstrip("/") + "/audio/speech"
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._model = model or _MODEL
        self._fallback = fallback
        self._client: httpx.AsyncClient | None = None
        self._rests_until = 0.0

    async def start(self) -> None:
        await self._fallback.start()
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, headers=self._headers)

    async def speak(self, text: str, voice: str) -> Speech:
        """See ``Voice.speak``. A persona's voice becomes the endpoint's ``nova`` or ``onyx`` if it is the model's own
        (NATF…, VARM…), and is passed as it stands if not."""
        if time.monotonic() < self._rests_until:
            return await self._fallback.speak(text, voice)
        try:
            raw = await self._ask(text, voice)
        except EndpointFailed as error:
            self._rests_until = time.monotonic() + _REST_S
            log.warning("the speech endpoint failed; the embedded voice speaks for a while", reason=str(error))
            return await self._fallback.speak(text, voice)
        return await asyncio.to_thread(finished, text, raw)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        await self._fallback.close()

    async def _ask(self, text: str, voice: str) -> Raw:
        if self._client is None:
            raise EndpointFailed("the voice was not started")
        known = voice.upper().startswith(("NAT", "VAR"))
        body = {
            "model": self._model,
            "voice": _VOICES[kind_of(voice)] if known else voice,
            "input": text,
            "response_format": "pcm",
        }
        try:
            response = await self._client.post(self._url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EndpointFailed(type(error).__name__) from error
        if response.status_code != httpx.codes.OK:
            raise EndpointFailed(f"status {response.status_code}")
        if len(response.content) > _MOST_BYTES:
            raise EndpointFailed("more than two minutes of audio")
        return _decode(response.content)


def _decode(content: bytes) -> Raw:
    """Read raw 24 kHz PCM, or the WAV that some servers send whatever they are asked for."""
    sample_hz, data = _PCM_HZ, content
    if content.startswith(b"RIFF"):
        try:
            with wave.open(io.BytesIO(content)) as file:
                if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                    raise EndpointFailed("WAV that is not mono of 16 bits")
                sample_hz, data = file.getframerate(), file.readframes(_MOST_BYTES)
        except (wave.Error, EOFError) as error:
            raise EndpointFailed("WAV that can't be read") from error
    samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
    if not len(samples) or data.lstrip().startswith((b"{", b"<")):
        raise EndpointFailed("no audio in the answer")
    return Raw(samples.astype(np.float32) / np.float32(32_768), sample_hz, ())
