"""What a client of /api/chat asks for in its URL."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.duplex import Sampling

PCM = "pcm_s16le"
OPUS = "opus"
FORMATS = (OPUS, PCM)
"""What Parley's own server has, and tells on /health; others have Ogg-Opus alone."""

MOST_TEXT_CHARACTERS = 20_000
DEFAULT_VOICE = "NATF2"
"""What a call that asks for no voice gets."""

VOICE_KINDS = (".pt", ".wav")
"""Suffixes of voice files; of two with one name the first is meant where none is given."""


class QueryError(Exception):
    """A value of the query can't be used; the text is one sentence that names it."""


@dataclass(frozen=True, slots=True)
class ChatQuery:
    """Everything is optional: an empty ``voice`` and a ``text`` of None leave the choice to the server.

    ``pcm`` asks for raw 16-bit little-endian samples at 24 kHz in both directions instead of Ogg-Opus.
    """

    voice: str = ""
    text: str | None = None
    seed: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    pcm: bool = False

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "ChatQuery":
        """Read a decoded query; names that are not known are ignored, as clients of other servers send them.

        Raises:
            QueryError: a value can't be used.
        """
        text = query.get("text_prompt")
        if text is not None and len(text) > MOST_TEXT_CHARACTERS:
            raise QueryError(f"text_prompt has {len(text)} characters; at most {MOST_TEXT_CHARACTERS} are taken.")
        usual = Sampling()
        return cls(
            voice=query.get("voice_prompt", ""),
            text=text,
            seed=_seed(query.get("seed", "")),
            sampling=Sampling(
                audio_temperature=_number(query, "audio_temperature", usual.audio_temperature, 10),
                audio_top_k=_count(query, "audio_topk", usual.audio_top_k),
                text_temperature=_number(query, "text_temperature", usual.text_temperature, 10),
                text_top_k=_count(query, "text_topk", usual.text_top_k),
            ),
            pcm=_is_pcm(query.get("format", "")),
        )

    def write(self) -> dict[str, str]:
        """Return the query that ``read`` reads back; what is as usual is left out, for servers that don't know it."""
        usual = Sampling()
        values = {
            "voice_prompt": self.voice,
            "text_prompt": self.text,
            "seed": self.seed,
            "audio_temperature": _unless(self.sampling.audio_temperature, usual.audio_temperature),
            "audio_topk": _unless(self.sampling.audio_top_k, usual.audio_top_k),
            "text_temperature": _unless(self.sampling.text_temperature, usual.text_temperature),
            "text_topk": _unless(self.sampling.text_top_k, usual.text_top_k),
            "format": PCM if self.pcm else None,
        }
        return {
            name: str(value)
            for name, value in values.items()
            if value is not None and (name != "voice_prompt" or value)
        }

    def for_published(self) -> "ChatQuery":
        """Return what NVIDIA's own server bears: it wants a text, the voice by its file's name, and fails at a seed."""
        voice = self.voice or DEFAULT_VOICE
        file = voice if voice.endswith(VOICE_KINDS) else voice + VOICE_KINDS[0]
        return replace(self, voice=file, text=self.text or " ", seed=None)


def _unless(value: float, usual: float) -> float | None:
    return None if value == usual else value


def _seed(text: str) -> int | None:
    """Return the seed; none, or -1 as some clients write it, leaves it to chance."""
    if text in ("", "-1"):
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) >= 2**63:
        raise QueryError("seed must be a whole number from 0 to 9223372036854775807, or -1 for none.")
    return int(text)


def _number(query: Mapping[str, str], name: str, usual: float, most: float) -> float:
    text = query.get(name, "")
    try:
        value = float(text) if text else usual
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise QueryError(f"{name} must be a number from 0 to {most}.")
    return value


def _count(query: Mapping[str, str], name: str, usual: int) -> int:
    text = query.get(name, "")
    if not text:
        return usual
    if not (text.isascii() and text.isdecimal()) or len(text) > 5:
        raise QueryError(f"{name} must be a whole number from 0 to 99999.")
    return int(text)


def _is_pcm(text: str) -> bool:
    if text not in ("", *FORMATS):
        raise QueryError(f"format must be {OPUS} or {PCM}.")
    return text == PCM
