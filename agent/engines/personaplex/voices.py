"""Voices by name: WAV recordings and ``.pt`` embeddings of one folder or archive, and nothing else."""

import io
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from agent.duplex import FRAME_SAMPLES, SAMPLE_HZ
from agent.engines.personaplex.config import AUDIO_CARD, CODEBOOKS, LMConfig
from agent.engines.personaplex.errors import VoiceError
from agent.engines.personaplex.prompt import Voice, check_voice
from agent.wire.query import VOICE_KINDS

LOUDNESS_LUFS = -24.0
MOST_VOICE_S = 60
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}$")
_UNREADABLE = (OSError, EOFError, tarfile.TarError, zlib.error)


@dataclass(frozen=True, slots=True)
class Recording:
    """A voice that is still sound: ``frames`` [F, 1 920] float32, at the loudness the model was trained on."""

    name: str
    frames: Tensor


class Voices(Protocol):
    """Where voices come from. Names are bare: no folder, the suffix optional."""

    def names(self) -> list[str]: ...

    def check(self, name: str) -> str:
        """Return the voice's full name; raises VoiceError where there is none."""
        ...

    def load(self, name: str) -> Voice | Recording:
        """Read a voice that ``check`` has found; slow, and to be called from a thread."""
        ...


class FileVoices:
    """The voice files of a folder, or of a ``.tgz`` archive that holds one.

    Raises:
        VoiceError: it can't be read, or holds no voice.
    """

    def __init__(self, source: Path, config: LMConfig) -> None:
        self._source = source
        self._config = config
        files = {Path(path).name: path for path in self._paths() if Path(path).suffix in VOICE_KINDS}
        self._names = {name: path for name, path in files.items() if _NAME.match(name)}
        if not self._names:
            raise VoiceError(f"There is no voice in {source}: it must hold .wav or .pt files with plain names.")

    def names(self) -> list[str]:
        return sorted(self._names)

    def check(self, name: str) -> str:
        for found in (name, *(_stem(name) + kind for kind in VOICE_KINDS)):  # the published server's clients say .pt
            if found in self._names:
                return found
        known = ", ".join(sorted({Path(found).stem for found in self._names})[:20])
        raise VoiceError(f"There is no voice {name[:100]!r} in {self._source}; it holds {known}.")

    def load(self, name: str) -> Voice | Recording:
        data = self._read(self._names[name])
        if name.endswith(".wav"):
            return Recording(name, recording(data, name))
        return embeddings(data, name, self._config)

    def _paths(self) -> list[str]:
        try:
            if self._source.is_dir():
                return [path.name for path in self._source.iterdir() if path.is_file()]
            with tarfile.open(self._source) as archive:
                return [member.name for member in archive.getmembers() if member.isfile()]
        except _UNREADABLE as error:
            raise VoiceError(
                f"The voices in {self._source} can't be read ({type(error).__name__}); give a folder or a .tgz archive."
            ) from error

    def _read(self, path: str) -> bytes:
        try:
            if self._source.is_dir():
                return (self._source / path).read_bytes()
            with tarfile.open(self._source) as archive:
                file = archive.extractfile(path)
                return file.read() if file else b""
        except _UNREADABLE as error:
            raise VoiceError(f"The voice {path} can't be read ({type(error).__name__}).") from error


class RandomVoices:
    """For models with random weights: any of the published names is a voice, drawn from its name."""

    frames = 25

    def names(self) -> list[str]:
        return [f"{kind}{sex}{n}" for kind, count in (("NAT", 4), ("VAR", 5)) for sex in "FM" for n in range(count)]

    def check(self, name: str) -> str:
        found = _stem(name)
        if found not in self.names():
            raise VoiceError(f"There is no voice {name[:100]!r}; there are NATF0-3, NATM0-3, VARF0-4 and VARM0-4.")
        return found

    def load(self, name: str) -> Voice:
        generator = torch.Generator().manual_seed(int.from_bytes(name.encode()[:7], "big"))
        return Voice(name, codes=torch.randint(0, AUDIO_CARD, (self.frames, CODEBOOKS), generator=generator))


def _stem(name: str) -> str:
    return name.removesuffix(".pt").removesuffix(".wav")


def recording(data: bytes, name: str) -> Tensor:
    """Decode a WAV file: mono, 24 kHz, -24 LUFS (ITU-R BS.1770-4), its last frame filled → [F, 1 920] float32.

    Resampled and measured by the libraries that the reference uses, and like there not clipped: its codes are equal.

    Raises:
        VoiceError: it is no WAV file, or shorter than 0.4 s, silent or longer than a minute.
    """
    import soundfile
    import sphn
    from pyloudnorm import Meter

    try:
        sound, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise VoiceError(f"The voice {name} is not a WAV file that can be read ({error}).") from error
    if not 0.4 * rate <= len(sound) <= MOST_VOICE_S * rate:
        raise VoiceError(f"The voice {name} lasts {len(sound) / rate:.1f} s; take 0.4 to {MOST_VOICE_S} s of speech.")
    mono = sound.mean(axis=1)
    if rate != SAMPLE_HZ:
        mono = sphn.resample(mono[None], src_sample_rate=rate, dst_sample_rate=SAMPLE_HZ)[0]
    loudness = Meter(SAMPLE_HZ).integrated_loudness(mono)
    if not np.isfinite(loudness):
        raise VoiceError(f"The voice {name} is silent; take a recording of speech.")
    levelled = mono * 10 ** ((LOUDNESS_LUFS - loudness) / 20)
    whole = np.pad(levelled, (0, -len(levelled) % FRAME_SAMPLES)).astype(np.float32)
    return torch.from_numpy(whole).view(-1, FRAME_SAMPLES)


def embeddings(data: bytes, name: str, config: LMConfig) -> Voice:
    """Read a ``.pt`` voice: tensors only, never code; shapes are checked.

    Raises:
        VoiceError: it holds something else.
    """
    try:
        held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a torn pickle fails in any way, by its torn bytes
        raise VoiceError(f"The voice {name} is not a file of tensors; take the published one.") from error
    inputs, cache = (held.get("embeddings"), held.get("cache")) if isinstance(held, dict) else (None, None)
    if not isinstance(inputs, Tensor) or not isinstance(cache, Tensor) or not inputs.is_floating_point():
        raise VoiceError(f"The voice {name} must hold 'embeddings', which are floats, and 'cache'.")
    if inputs.dim() != 4 or tuple(inputs.shape[1:3]) != (1, 1) or cache.dim() != 3 or cache.shape[0] != 1:
        raise VoiceError(f"The voice {name} has embeddings {list(inputs.shape)} and a cache {list(cache.shape)}; "
                         f"the model expects [frames, 1, 1, {config.dim}] and [1, 17, 4].")  # fmt: skip
    voice = Voice(name, embeddings=inputs[:, 0, 0].float(), cache=cache[0].long())
    if wrong := check_voice(voice, config.dim):
        raise VoiceError(f"The voice {name} does not fit the model: {wrong}.")
    if not torch.isfinite(inputs).all() or not _tokens_fit(cache, config.text_card):
        raise VoiceError(f"The voice {name} holds numbers that are no tokens; take the published file.")
    return voice


def _tokens_fit(cache: Tensor, text_card: int) -> bool:
    text, audio = cache[0, 0], cache[0, 1:]
    return bool((cache >= -2).all() and (audio <= AUDIO_CARD).all() and (text <= text_card).all())
