"""The agent's text: pieces of SentencePiece, and a small table of words where there is no checkpoint."""

import zlib
from pathlib import Path
from typing import Protocol

from agent.engines.personaplex.config import TEXT_END_OF_PADDING, TEXT_PADDING
from agent.engines.personaplex.errors import CheckpointError


class TextTable(Protocol):
    """Text ↔ tokens."""

    def encode(self, text: str) -> list[int]: ...

    def piece(self, token: int) -> str:
        """Return what a token adds to the text, with its own leading space; empty for padding."""
        ...


class SentencePieces:
    """The checkpoint's table.

    Raises:
        CheckpointError: there is no such file, or it is no SentencePiece model of ``card`` pieces.
    """

    def __init__(self, path: Path, card: int) -> None:
        from sentencepiece import SentencePieceProcessor

        if not path.is_file():
            raise CheckpointError(f"There is no file {path}: it is the checkpoint's text table.")
        try:
            self._table = SentencePieceProcessor(model_file=str(path))
        except RuntimeError as error:
            raise CheckpointError(f"{path} is not a SentencePiece model; download it again.") from error
        if self._table.vocab_size() != card:
            raise CheckpointError(f"{path} has {self._table.vocab_size()} pieces, the model expects {card}.")

    def encode(self, text: str) -> list[int]:
        return self._table.encode(text) if text else []

    def piece(self, token: int) -> str:
        if token in (TEXT_END_OF_PADDING, TEXT_PADDING) or not 0 <= token < self._table.vocab_size():
            return ""
        return self._table.id_to_piece(token).replace("▁", " ")


class TinyWords:
    """A table for models with random weights: a word is a token by its hash, a token is a made-up word."""

    _FIRST = 4

    def __init__(self, card: int) -> None:
        self._card = card

    def encode(self, text: str) -> list[int]:
        return [self._FIRST + zlib.crc32(word.encode()) % (self._card - self._FIRST) for word in text.split()]

    def piece(self, token: int) -> str:
        if not self._FIRST <= token < self._card:
            return ""
        consonants, vowels = "bdfgklmnprstvz", "aeiou"
        first, rest = token % len(consonants), token // len(consonants)
        return f" {consonants[first]}{vowels[rest % len(vowels)]}{consonants[rest // len(vowels) % len(consonants)]}"
