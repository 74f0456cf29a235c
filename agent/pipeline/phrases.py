"""Finds a card's phrases in the agent's own text while it comes, piece by piece."""

import re
from collections.abc import Iterable

_APOSTROPHES = re.compile("['\N{RIGHT SINGLE QUOTATION MARK}]")
_OTHER = re.compile(r"[\W_]+")


class PhraseFinder:
    """Case, punctuation and where pieces are cut do not matter; a phrase begins and ends with whole words."""

    def __init__(self, phrases: Iterable[tuple[str, str]]) -> None:
        """``phrases`` are (name, phrase); names may repeat."""
        self._phrases = [(name, f" {_plain(phrase).strip()} ") for name, phrase in phrases]
        self._longest = max((len(phrase) for _, phrase in self._phrases), default=0)
        self._tail = " "

    def find(self, piece: str) -> str:
        """Take the next piece; return the name of the phrase that it completes, empty while there is none.

        The word that a phrase ends with is whole once what follows it is there: a space, a full stop or a pause.
        """
        if not self._phrases:
            return ""
        tail = self._tail + _plain(piece)
        self._tail = re.sub(" +", " ", tail)
        for name, phrase in self._phrases:
            if phrase in self._tail:
                self._tail = " "
                return name
        self._tail = self._tail[-self._longest - 1 :]
        return ""

    def pause(self) -> str:
        """The agent's text has a gap: the last word is whole."""
        return self.find(" ")


def _plain(text: str) -> str:
    return _OTHER.sub(" ", _APOSTROPHES.sub("", text.lower()))
