"""Speech by the program flite (CMU's slt and rms), which Debian carries and many machines lack."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from agent.duplex import EngineUnavailable
from agent.engines.cascade.ports import SpokenWord
from agent.engines.cascade.voice_sound import Kind, Raw
from agent.engines.cascade.voice_words import apportion

_VOICES: dict[Kind, str] = {"female": "slt", "male": "rms"}
_TIMEOUT_S = 10
_LONGEST = 2_000


class FliteFailed(Exception):
    """The program did not speak a sentence."""


def flite_program() -> str | None:
    """Return the path of flite, if it is installed."""
    return shutil.which("flite")


class FliteSynthesiser:
    """Runs flite once a sentence: 60-150 ms.

    Raises:
        EngineUnavailable: it is not installed, or lacks the voices slt and rms.
    """

    def __init__(self) -> None:
        program = flite_program()
        if program is None:
            raise EngineUnavailable("PARLEY_TTS is flite, but its program is not installed; install it or set espeak.")
        self._program = program
        voices = set(self._run("-lv").split())
        if missing := set(_VOICES.values()) - voices:
            raise EngineUnavailable(f"flite lacks the voices {', '.join(sorted(missing))}; set PARLEY_TTS to espeak.")

    def __call__(self, text: str, kind: Kind) -> Raw:
        """Speak ``text``; blocks.

        Raises:
            FliteFailed: it took too long, failed, or made no sound.
        """
        with tempfile.TemporaryDirectory(prefix="parley-flite-") as folder:
            path = Path(folder) / "speech.wav"
            segments = self._run("-voice", _VOICES[kind], "-psdur", "-t", text[:_LONGEST], "-o", str(path))
            try:
                audio, sample_hz = soundfile.read(path, dtype="float32")
            except (OSError, soundfile.SoundFileError) as error:
                raise FliteFailed("flite wrote no audio.") from error
        return Raw(np.asarray(audio, np.float32), sample_hz, _words(text, segments))

    def _run(self, *arguments: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - no shell; the text is one argument after -t
                [self._program, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise FliteFailed("flite failed.") from error
        return done.stdout


def _words(text: str, segments: str) -> list[SpokenWord]:
    """Time the words by flite's phonemes, printed as ``name:end_s``; its pauses stand at punctuation."""
    phrases: list[tuple[float, float]] = []
    start, last = 0.0, "pau"
    for name, end in re.findall(r"(\S+):([\d.]+)", segments):
        end_ms = float(end) * 1000
        if name != "pau":
            phrases = [*phrases, (start, end_ms)] if last == "pau" else [*phrases[:-1], (phrases[-1][0], end_ms)]
        start, last = end_ms, name
    clauses = [clause.split() for clause in re.split(r"(?<=[,.;:?!])\s+", text) if clause.split()]
    if not phrases or not clauses:
        return []
    if len(clauses) != len(phrases):
        return apportion(text.split(), phrases[0][0], phrases[-1][1])
    return [word for clause, span in zip(clauses, phrases, strict=True) for word in apportion(clause, *span)]
