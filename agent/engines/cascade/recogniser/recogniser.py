"""The recogniser of the embedded engine: sessions for calls, in front of a pool of pocketsphinx processes."""

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import structlog

from agent.duplex import EngineUnavailable, RoleCard
from agent.engines.cascade.ports import PHONE_HZ, Pcm8k, Transcript
from agent.engines.cascade.recogniser.messages import card_key, transcript_of
from agent.engines.cascade.recogniser.pool import Pool, WorkerLost

log = structlog.get_logger(__name__)

_PREPARE_S = 20.0
_LONGEST_S = 30


class PocketsphinxSession:
    """Recognition for one call. ``request`` is the JSON object that names its card, without the closing brace."""

    def __init__(self, pool: Pool, request: bytes) -> None:
        self._pool = pool
        self._request = request

    async def transcribe(self, audio: Pcm8k) -> Transcript:
        """Recognise one utterance, [N] int16 at 8 kHz; of more than 30 s, the last 30.

        The transcript is empty where nothing was understood, and where the process was lost over it.
        """
        audio = audio[-_LONGEST_S * PHONE_HZ :]
        line = self._request + b', "audio": "' + base64.b64encode(audio.astype("<i2").tobytes()) + b'"}'
        try:
            return transcript_of(await self._pool.ask(line, 5.0 + 2.0 * len(audio) / PHONE_HZ))
        except WorkerLost:
            log.warning("an utterance was not recognised", audio_ms=len(audio) * 1000 // PHONE_HZ)
            return Transcript(())

    async def prepare(self) -> None:
        """Have the card's models made, so that the first utterance does not wait for them."""
        try:
            await self._pool.ask(self._request + b"}", _PREPARE_S)
        except WorkerLost:
            log.warning("the language model of a card was not made in time")

    async def close(self) -> None:
        """Nothing to free: models are the cards', and the workers forget those not used."""


class PocketsphinxRecogniser:
    """Opens sessions; all share ``workers`` processes and a folder for the models of their cards.

    Models are kept in ``folder`` for the next start; those that hold a customer's name, and all without a
    ``folder``, are gone with the recogniser.
    """

    def __init__(self, workers: int, folder: Path | None = None) -> None:
        self._pool = Pool(workers)
        self._kept = folder
        self._folder = ""

    @property
    def pids(self) -> list[int]:
        return self._pool.pids

    async def start(self) -> None:
        """Start the processes.

        Raises:
            EngineUnavailable: they end at once.
        """
        self._folder = tempfile.mkdtemp(prefix="parley-recogniser-")
        await self._pool.start()

    async def open(self, card: RoleCard) -> PocketsphinxSession:
        """Prepare for one call: makes the card's language model, or finds it made."""
        card = replace(card, customer_profile="")  # what is heard does not depend on it
        folder = self._folder if self._kept is None or card.customer_name else str(self._kept)
        request = {"key": card_key(card), "folder": folder, "card": asdict(card)}
        session = PocketsphinxSession(self._pool, json.dumps(request).encode()[:-1])
        await session.prepare()
        return session

    async def close(self) -> None:
        """End the processes and remove the models that are not kept."""
        await self._pool.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def workers_of(options: Mapping[str, str]) -> int:
    """Read ``recogniser_workers``; 0 and nothing mean one for every two cores.

    Raises:
        EngineUnavailable: it is not a whole number from 0 up.
    """
    text = options.get("recogniser_workers") or "0"
    if not text.isdecimal():
        raise EngineUnavailable(f"PARLEY_RECOGNISER_WORKERS must be a whole number from 0 up, not {text!r}.")
    return int(text) or max(1, (os.cpu_count() or 1) // 2)
