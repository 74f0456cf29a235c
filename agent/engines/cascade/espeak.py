"""eSpeak NG by ctypes: speech with word times, and the phonemes of a text.

    text ──▶ Espeak.synthesise ──▶ 22 050 Hz samples, words timed
    text ──▶ Espeak.phonemes   ──▶ IPA

The library keeps its state in globals: it is loaded once a process, and one lock guards every call.
"""

import ctypes
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.duplex import DuplexError, EngineUnavailable

# speak_lib.h of eSpeak NG 1.52
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_END_PAUSE = 0x1000
_POSITION_CHARACTER = 1
_RATE, _PITCH = 1, 3
_EVENT_END_OF_LIST, _EVENT_WORD = 0, 1
_IPA = 0x02
_LONGEST_DATA_PATH = 140
"""Its buffers for file names hold 160 bytes and are not checked everywhere."""

_FILES = {"en-gb": "en"}
"""Languages whose voice file is called otherwise."""

_lock = threading.Lock()


class EspeakError(DuplexError):
    """eSpeak NG refused a voice or a text."""


class TimedWord(NamedTuple):
    """Where a word stands in the text (characters, from 0) and when it begins in the audio."""

    offset: int
    length: int
    start_ms: int


class Synthesis(NamedTuple):
    """``samples`` [N] int16 at ``sample_hz``; ``words`` in the order they are spoken."""

    samples: NDArray[np.int16]
    sample_hz: int
    words: list[TimedWord]


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Sink:
    """Takes what the library's one callback brings, for the synthesis that holds the lock."""

    def __init__(self) -> None:
        self.chunks: list[NDArray[np.int16]] = []
        self.words: list[TimedWord] = []
        self.callback = _Callback(self._take)

    def clear(self) -> None:
        self.chunks, self.words = [], []

    def _take(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]") -> int:
        if samples and count > 0:
            self.chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        at = 0
        while events[at].type != _EVENT_END_OF_LIST:
            if events[at].type == _EVENT_WORD:
                event = events[at]
                self.words.append(TimedWord(event.text_position - 1, event.length, event.audio_position))
            at += 1
        return 0


@cache
def _load() -> tuple[ctypes.CDLL, int, _Sink]:
    """Load and initialise the library; call with the lock held."""
    try:
        import espeakng_loader
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            "The cascade needs the package 'espeakng-loader', which is not installed; install parley[cascade]."
        ) from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = (ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int)
    data = Path(espeakng_loader.get_data_path())
    if len(str(data).encode()) > _LONGEST_DATA_PATH:
        link = Path(tempfile.mkdtemp(prefix="parley-espeak-")) / data.name
        link.symlink_to(data, target_is_directory=True)
        data = link
    sample_hz = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), _DONT_EXIT)
    if sample_hz <= 0:
        raise EngineUnavailable("eSpeak NG does not find its data; reinstall the package 'espeakng-loader'.")
    sink = _Sink()
    library.espeak_SetSynthCallback(sink.callback)
    return library, sample_hz, sink


class Espeak:
    """eSpeak NG. Instances share the one library of the process; any thread may call.

    Raises:
        EngineUnavailable: the package is not installed or its data is damaged.
    """

    def __init__(self) -> None:
        with _lock:
            self._library, self._sample_hz, self._sink = _load()

    def synthesise(self, text: str, voice: str = "en-us", rate_wpm: int = 165, pitch: int = 50) -> Synthesis:
        """Speak ``text``.

        Args:
            voice: a language with an optional variant: ``en-us``, ``en-gb+f3``.
            rate_wpm: words a minute, 80 to 450.
            pitch: 0 to 99; 50 is the voice's own.

        Raises:
            EspeakError: there is no such voice, or the library failed.
        """
        with _lock:
            self._choose(voice)
            self._library.espeak_SetParameter(_RATE, max(80, min(rate_wpm, 450)), 0)
            self._library.espeak_SetParameter(_PITCH, max(0, min(pitch, 99)), 0)
            self._sink.clear()
            raw = text.replace("\0", " ").encode()
            size = ctypes.c_size_t(len(raw) + 1)
            failed = self._library.espeak_Synth(raw, size, 0, _POSITION_CHARACTER, 0, _UTF8 | _END_PAUSE, None, None)
            chunks, words = self._sink.chunks, self._sink.words
            self._sink.clear()
        if failed:
            raise EspeakError(
                "eSpeak NG could not speak a sentence; its data may be damaged: reinstall espeakng-loader."
            )
        samples = np.concatenate(chunks) if chunks else np.zeros(0, np.int16)
        return Synthesis(samples, self._sample_hz, words)

    def phonemes(self, text: str, voice: str = "en-us") -> str:
        """Return the IPA of ``text``: ``_`` between phonemes, a space between words, clauses joined by a space.

        Raises:
            EspeakError: there is no such voice.
        """
        clauses = []
        with _lock:
            self._choose(voice)
            rest = ctypes.c_char_p(text.replace("\0", " ").encode())
            while rest.value:
                clause = self._library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA | ord("_") << 8)
                clauses.append((clause or b"").decode("utf-8", "replace"))
        return " ".join(clause for clause in clauses if clause)

    def _choose(self, voice: str) -> None:
        language, plus, variant = voice.partition("+")
        if self._library.espeak_SetVoiceByName(f"{_FILES.get(language, language)}{plus}{variant}".encode()):
            raise EspeakError(f"eSpeak NG has no voice {voice!r}; try 'en-us'.")
