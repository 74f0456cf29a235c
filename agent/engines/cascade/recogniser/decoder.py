"""One card's decoder: language model, dictionary and pocketsphinx, from utterance to words with times and doubts."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from agent.duplex import RoleCard
from agent.engines.cascade.ports import PHONE_HZ, Pcm8k, Transcript, Word
from agent.engines.cascade.recogniser.corpus import card_lines
from agent.engines.cascade.recogniser.frontend import FRAME_MS
from agent.engines.cascade.recogniser.highband import HighBand
from agent.engines.cascade.recogniser.language import LanguageModel
from agent.engines.cascade.recogniser.pronounce import dictionary
from agent.engines.cascade.shelf import Shelf

_SHORTEST_MS = 150
_MARGIN_MS = 250
_FAINTEST = 60
"""Peaks below this (−55 dBFS) are an idle line."""
_FLATTEST_DB = 6.0
"""Noise that stays within this, block by block, is no speech: that spans 10 dB even in loud noise."""
_LEAST_CONFIDENCE = 0.12
"""Barks and babble stay below this on average, speech in noise of 10 dB above."""
_READINGS = 4


@dataclass(frozen=True, slots=True)
class Models:
    """The two files a card becomes."""

    language: Path
    pronunciations: Path

    @classmethod
    def of(cls, card: RoleCard, key: str, folder: Path) -> "Models":
        """Find the files in ``folder``, where another worker or an earlier run made them, or make them there."""
        shelf, name = Shelf(folder), f"{key}-{_making()}"
        language, pronunciations = shelf.find(f"{name}.lm"), shelf.find(f"{name}.dict")
        if language is not None and pronunciations is not None:
            return cls(language, pronunciations)
        model = LanguageModel(card_lines(card))
        base = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
        return cls(
            shelf.put(f"{name}.lm", model.arpa().encode()),
            shelf.put(f"{name}.dict", dictionary(model.vocabulary, base).encode()),
        )


@cache
def _making() -> str:
    """Return a name for all that makes models of cards: the modules here, their data, pocketsphinx's dictionary."""
    here = Path(__file__).parent
    digest = hashlib.sha256(version("pocketsphinx").encode())
    for path in (*sorted(here.glob("*.py")), here / "english.npz", *sorted(here.parent.glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class CardDecoder:
    """Recognises utterances of one card's callers. Not for use by two threads at once."""

    def __init__(self, models: Models, high_band: HighBand) -> None:
        self._high_band = high_band
        self._decoder = pocketsphinx.Decoder(
            hmm=pocketsphinx.get_model_path("en-us/en-us"),
            lm=str(models.language),
            dict=str(models.pronunciations),
            topn=8,
            loglevel="FATAL",
        )

    def transcribe(self, audio: Pcm8k) -> Transcript:
        """Recognise [N] int16 at 8 kHz; empty where there is no speech or too little of it."""
        begin, end = speech_bounds(audio)
        if (end - begin) * 1000 < _SHORTEST_MS * PHONE_HZ:
            return Transcript(())
        self._decoder.start_utt()
        self._decoder.process_cep(self._high_band.cepstra(audio[begin:end]).tobytes(), full_utt=True)
        self._decoder.end_utt()
        words = self._words(round(begin * 1000 / PHONE_HZ))
        if not words or sum(word.confidence for word in words) < _LEAST_CONFIDENCE * len(words):
            return Transcript(())
        return Transcript(words, self._readings(words))

    def _words(self, offset_ms: int) -> tuple[Word, ...]:
        words = []
        for segment in self._decoder.seg() or ():
            text = _plain(segment.word)
            if text:
                start, end = segment.start_frame * FRAME_MS, (segment.end_frame + 1) * FRAME_MS
                words.append(Word(text, offset_ms + start, offset_ms + end, round(min(1.0, segment.prob), 3)))
        return tuple(words)

    def _readings(self, best: tuple[Word, ...]) -> tuple[str, ...]:
        readings = {" ".join(word.text for word in best): None}
        for _, hypothesis in zip(range(5 * _READINGS), self._decoder.nbest() or (), strict=False):
            if hypothesis is None or len(readings) > _READINGS:
                break
            readings[" ".join(filter(None, map(_plain, hypothesis.hypstr.split())))] = None
        return tuple(reading for reading in list(readings)[1:] if reading)


def _plain(token: str) -> str:
    """Return a dictionary entry as a word: no number of its pronunciation, nothing for silence and noise."""
    return "" if token[0] in "<[" else re.sub(r"\(\d+\)$", "", token)


def speech_bounds(audio: NDArray[np.int16]) -> tuple[int, int]:
    """Return where in ``audio`` sound begins and ends, with a margin; equal when there is none."""
    hop = PHONE_HZ // 100
    count = len(audio) // hop
    if count == 0 or np.abs(audio.astype(np.int32)).max() < _FAINTEST:
        return 0, 0
    blocks = audio[: count * hop].reshape(count, hop).astype(np.float64)
    level = 10.0 * np.log10((blocks**2).mean(axis=1) + 1.0)
    quiet, loud = np.percentile(level, (10, 98))
    if loud - quiet < _FLATTEST_DB:
        return 0, 0
    heard = np.flatnonzero(level >= quiet + 0.3 * (loud - quiet))
    margin = _MARGIN_MS // FRAME_MS
    return max(0, int(heard[0]) - margin) * hop, min(count, int(heard[-1]) + 1 + margin) * hop
