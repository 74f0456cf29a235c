"""The sentence model behind one thread, with the vectors of known texts kept.

All meaning is computed here, off the event loop: one thread owns the model, so calls queue instead of
fighting for the cores. Long work is cut in batches, and an utterance waits for one batch at most.
"""

import asyncio
import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from agent.duplex import EngineUnavailable
from agent.engines.cascade.responder.sentence_model import SentenceModel, model_folder
from agent.engines.cascade.shelf import Shelf

log = structlog.get_logger(__name__)

BATCH = 16
KEPT_TEXTS = 8_192

T = TypeVar("T")
Vector = NDArray[np.float32]


class Encoder:
    """Shared by all calls of a process; starts empty, loads the model on ``start``."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        """Keep what is prepared on ``shelf``, too, so that the next process need not encode it."""
        self._shelf = shelf
        self._thread: ThreadPoolExecutor | None = None
        self._model: SentenceModel | None = None
        self._kept: OrderedDict[str, Vector] = OrderedDict()

    async def start(self) -> None:
        """Load the model; starting twice is harmless.

        Raises:
            EngineUnavailable: its package is not installed or broken.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "meaning")
        await self.run(self._load)

    async def close(self) -> None:
        """Finish what waits, free the model."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.to_thread(thread.shutdown, wait=True)
        self._model = None
        self._kept.clear()

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` on the thread."""
        return await asyncio.wrap_future(self._submit(work))

    def prepare(self, texts: Sequence[str]) -> "Future[dict[str, Vector]]":
        """Encode ``texts`` in the background, batch by batch; the future holds a vector [384] for each."""
        done: Future[dict[str, Vector]] = Future()
        done.set_running_or_notify_cancel()
        wanted = sorted(dict.fromkeys(texts), key=lambda text: (len(text), text))  # equal lengths are encoded together
        vectors: dict[str, Vector] = {}

        def step(start: int) -> None:
            try:
                if start == 0:
                    vectors.update(self._found(wanted))
                missing = wanted[start : start + BATCH] if len(vectors) < len(wanted) else []
                vectors.update(zip(missing, self.encode(missing), strict=True))
                if len(vectors) < len(wanted):
                    self._submit(lambda: step(start + BATCH))
                    return
                if missing:
                    self._keep(wanted, vectors)
                done.set_result(vectors)
            except BaseException as error:
                done.set_exception(error)

        self._submit(lambda: step(0))
        return done

    def encode(self, texts: Sequence[str]) -> list[Vector]:
        """Return a unit vector [384] for each text; call it on the thread only."""
        if self._model is None:
            raise EngineUnavailable("The embedded responder was not started.")
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        self._kept.update(zip(new, self._model.encode(new), strict=True))
        found = []
        for text in texts:
            self._kept.move_to_end(text)
            found.append(self._kept[text])
        while len(self._kept) > KEPT_TEXTS:
            self._kept.popitem(last=False)
        return found

    def _name(self, texts: Sequence[str]) -> str:
        """Return the name under which the vectors of ``texts`` are kept."""
        model = "" if self._model is None else self._model.fingerprint
        return hashlib.sha256("\n".join((model, *texts)).encode()).hexdigest()[:32] + ".npy"

    def _found(self, texts: Sequence[str]) -> dict[str, Vector]:
        """Return the vectors of ``texts`` as they were kept; empty when they were not."""
        path = None if self._shelf is None or not texts else self._shelf.find(self._name(texts))
        if path is None:
            return {}
        found = dict(zip(texts, np.load(path, allow_pickle=False), strict=True))
        self._kept.update(found)
        return found

    def _keep(self, texts: Sequence[str], vectors: Mapping[str, Vector]) -> None:
        if self._shelf is None:
            return
        file = io.BytesIO()
        np.save(file, np.stack([vectors[text] for text in texts]), allow_pickle=False)
        try:
            self._shelf.put(self._name(texts), file.getvalue())
        except OSError as error:
            log.warning("the vectors of a card were not kept for the next start", why=error.strerror)

    def _load(self) -> None:
        if self._model is None:
            self._model = SentenceModel(model_folder())

    def _submit(self, work: Callable[[], T]) -> "Future[T]":
        if self._thread is None:
            raise EngineUnavailable("The embedded responder was not started.")
        return self._thread.submit(work)
