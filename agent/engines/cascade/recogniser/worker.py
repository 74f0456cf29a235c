"""A recognition process: one JSON line in for each utterance, one JSON line out; ends when its input does.

    {"key": …, "folder": …, "card": {…}, "audio": "base64 int16"}  ─▶  {"words": [[text, start, end, confidence], …], …}

``audio`` may be absent: then the card is only made ready.
"""

import base64
import json
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from agent.engines.cascade.recogniser.decoder import CardDecoder, Models
from agent.engines.cascade.recogniser.highband import HighBand
from agent.engines.cascade.recogniser.messages import answer_of, card_of

_KEPT = 8
"""Decoders kept, of some 20 MB each."""


class Decoders:
    """The decoders of the cards used last."""

    def __init__(self) -> None:
        self._high_band = HighBand.load()
        self._kept: OrderedDict[str, CardDecoder] = OrderedDict()

    def get(self, key: str, folder: Path, card: Mapping[str, Any]) -> CardDecoder:
        if key not in self._kept:
            self._kept[key] = CardDecoder(Models.of(card_of(card), key, folder), self._high_band)
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    decoders = Decoders()
    _write(answers, {"ready": True})
    for line in requests:
        request = json.loads(line)
        decoder = decoders.get(request["key"], Path(request["folder"]), request["card"])
        audio = np.frombuffer(base64.b64decode(request.get("audio", "")), "<i2")
        _write(answers, answer_of(decoder.transcribe(audio)))


def _write(answers: BinaryIO, answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def main() -> None:
    # The parent closes our input when it ends; Ctrl-C in its terminal must not cut an utterance short before.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what libraries print must not get between the answers
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
