"""Samples to bytes and back, as Ogg-Opus or raw, and frames cut from pieces of any length."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from agent.duplex import FRAME_SAMPLES, SAMPLE_HZ, EngineUnavailable, Samples
from agent.wire.messages import WireError
from agent.wire.ogg import OggPages


class SoundReader(Protocol):
    def read(self, data: bytes) -> Iterator[Samples]:
        """Take a slice and yield what it completes, at most 12 s a piece, [N] float32 at 24 kHz.

        Raises:
            WireError: the stream is broken; the reader can't be used further.
        """
        ...


class SoundWriter(Protocol):
    def write(self, frame: Samples) -> bytes:
        """Return the bytes of one frame, [FRAME_SAMPLES] float32 in [-1, 1]."""
        ...


def check_opus() -> None:
    """Raise EngineUnavailable where the Opus library is not installed."""
    if find_spec("sphn") is None:
        raise EngineUnavailable("Ogg-Opus needs the package sphn: `pip install 'parley[remote]'` installs it.")


def sound_reader(pcm: bool) -> SoundReader:
    return PcmReader() if pcm else OpusReader()


def sound_writer(pcm: bool) -> SoundWriter:
    return PcmWriter() if pcm else OpusWriter()


class OpusReader:
    """Decodes one Ogg-Opus stream, page by page; about 0.1 ms a frame."""

    def __init__(self) -> None:
        import sphn

        self._pages = OggPages()
        self._decoder = sphn.OpusStreamReader(SAMPLE_HZ)

    def read(self, data: bytes) -> Iterator[Samples]:
        for page in self._pages.feed(data):
            try:
                samples: Samples = self._decoder.append_bytes(page)
            except ValueError:
                raise WireError("The sound can't be decoded: a packet of the Opus stream is broken.") from None
            yield samples


class OpusWriter:
    """Encodes one Ogg-Opus stream, one page a frame; the first frame brings the headers. About 0.5 ms a frame."""

    def __init__(self) -> None:
        import sphn

        self._encoder = sphn.OpusStreamWriter(SAMPLE_HZ)

    def write(self, frame: Samples) -> bytes:
        return self._encoder.append_pcm(np.ascontiguousarray(frame, np.float32))


class PcmReader:
    """Raw samples, 16 bits, little endian."""

    def read(self, data: bytes) -> Iterator[Samples]:
        if len(data) % 2:
            raise WireError("A message of raw sound has an odd number of bytes; samples have two.")
        yield np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32_768)


class PcmWriter:
    """Raw samples, 16 bits, little endian."""

    def write(self, frame: Samples) -> bytes:
        return np.rint(np.clip(frame, -1.0, 1.0) * 32_767).astype("<i2").tobytes()


class FrameCutter:
    """Cuts pieces of sound into frames; what is left waits for the next piece."""

    def __init__(self) -> None:
        self._left = np.zeros(0, np.float32)

    def cut(self, samples: Samples) -> list[Samples]:
        """Return the frames that are whole now, each [FRAME_SAMPLES]."""
        held = np.concatenate((self._left, samples))
        whole = len(held) // FRAME_SAMPLES * FRAME_SAMPLES
        self._left = held[whole:]
        return list(held[:whole].reshape(-1, FRAME_SAMPLES))
