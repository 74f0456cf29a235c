"""What the voice says, how loud, and when its words fall."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import numpy as np
import pytest

from agent.duplex import SAMPLE_HZ, EngineUnavailable
from agent.engines.cascade.ports import SpokenWord
from agent.engines.cascade.voice import EmbeddedVoice, make_voice
from agent.engines.cascade.voice_flite import flite_program
from agent.engines.cascade.voice_hum import is_hum
from agent.engines.cascade.voice_sound import kind_of
from agent.engines.cascade.voice_words import align

TEXT = "The late fee is $12.50, and you can pay by 5 PM on Friday."
SPOKEN = "it costs one hundred twenty dollars today"
needs_flite = pytest.mark.skipif(flite_program() is None, reason="flite is not installed (Debian: flite)")


@pytest.fixture(params=["espeak", pytest.param("flite", marks=needs_flite)])
async def voice(request: pytest.FixtureRequest) -> EmbeddedVoice:
    voice = EmbeddedVoice(request.param)
    await voice.start()
    return voice


@pytest.mark.parametrize("name", ["NATF2", "NATM1"])
async def test_a_sentence_is_trimmed_levelled_and_timed(voice: EmbeddedVoice, name: str) -> None:
    speech = await voice.speak(TEXT, name)
    assert speech.sample_hz == SAMPLE_HZ
    assert speech.audio.dtype == np.float32
    assert np.abs(speech.audio).max() <= 1.0
    grains = speech.audio[: len(speech.audio) // 240 * 240].reshape(-1, 240)
    level = 10 * np.log10(np.mean(grains**2, axis=1) + 1e-12)
    loud = level[level > level.max() - 30]
    assert -23 < 10 * np.log10(np.mean(10 ** (loud / 10))) < -17
    assert level[:6].max() > level.max() - 45
    assert level[-12:].max() > level.max() - 45
    assert [word.text for word in speech.words] == TEXT.split()
    starts = [word.start_ms for word in speech.words]
    assert starts[0] < 120
    assert all(a <= b for a, b in pairwise(starts))
    assert starts[-1] < len(speech.audio) * 1000 / SAMPLE_HZ


async def test_a_sentence_said_before_is_kept(voice: EmbeddedVoice) -> None:
    first = await voice.speak("One moment, please.", "NATF0")
    assert await voice.speak("One moment, please.", "NATF1") is first
    assert await voice.speak("One moment, please.", "NATM0") is not first


async def test_what_looks_like_an_option_is_spoken(voice: EmbeddedVoice) -> None:
    speech = await voice.speak("-o /etc/passwd; echo `id` $(id) hello", "NATF0")
    assert len(speech.audio) > SAMPLE_HZ


async def test_nothing_to_say_is_no_sound(voice: EmbeddedVoice) -> None:
    speech = await voice.speak("", "NATF0")
    assert speech.words == ()
    assert not np.abs(speech.audio).max(initial=0) > 0.01


def test_personas_voices_have_a_kind() -> None:
    assert [kind_of(name) for name in ("NATF0", "VARF4", "alloy", "NATM3", "VARM0", "male-us")] == [
        *("female", "female", "female"),
        *("male", "male", "male"),
    ]


def test_hums_are_told_from_words() -> None:
    assert all(map(is_hum, ("mm-hmm", "Mm hmm.", "mhm", "hmm", "Mmm!")))
    assert not any(map(is_hum, ("hammer", "um", "him", "hm, no", "mom")))


def test_written_words_get_the_times_of_what_they_became() -> None:
    spoken = [SpokenWord(word, n * 100) for n, word in enumerate(SPOKEN.split())]
    timed = align("It costs $120 today.", spoken, 700)
    assert [(word.text, word.start_ms) for word in timed] == [("It", 0), ("costs", 100), ("$120", 200), ("today.", 600)]


class Endpoint:
    """An OpenAI-compatible speech endpoint on a real socket."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.answer: tuple[int, bytes] = (200, b"")
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.requests.append(json.loads(body) | {"path": self.path, "key": self.headers["Authorization"]})
                status, content = endpoint.answer
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


async def test_an_endpoint_speaks(endpoint: Endpoint) -> None:
    tone = (8_000 * np.sin(np.arange(24_000) / 20)).astype("<i2")
    endpoint.answer = (200, tone.tobytes())
    options = {"speech_base_url": endpoint.url, "speech_api_key": "k", "speech_model": "m", "tts": "espeak"}
    voice = make_voice(options)
    await voice.start()
    speech = await voice.speak("It is $5.", "NATM1")
    await voice.close()
    assert endpoint.requests == [
        {"model": "m", "voice": "onyx", "input": "It is $5.", "response_format": "pcm"}
        | {"path": "/v1/audio/speech", "key": "Bearer k"}
    ]
    assert abs(len(speech.audio) - 24_000) < 1_000
    assert [word.text for word in speech.words] == ["It", "is", "$5."]


@pytest.mark.parametrize("answer", [(500, b"no"), (200, b""), (200, b'{"error": "x"}'), (200, b"RIFFgarbage")])
async def test_the_embedded_voice_speaks_when_the_endpoint_fails(endpoint: Endpoint, answer: tuple[int, bytes]) -> None:
    endpoint.answer = answer
    voice = make_voice({"speech_base_url": endpoint.url, "tts": "espeak"})
    await voice.start()
    speech = await voice.speak("Good morning to you.", "NATF1")
    assert len(speech.audio) > SAMPLE_HZ // 2
    await voice.speak("And goodbye.", "NATF1")
    await voice.close()
    assert len(endpoint.requests) == 1  # it is left in peace for a while


@pytest.mark.parametrize(("option", "value"), [("tts", "festival"), ("speech_base_url", "example.com")])
def test_a_setting_that_can_not_be_used_is_named(option: str, value: str) -> None:
    with pytest.raises(EngineUnavailable, match=f"PARLEY_{option.upper()}"):
        make_voice({option: value})
