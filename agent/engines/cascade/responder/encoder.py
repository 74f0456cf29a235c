"""The sentence model behind one thread, with the vectors of known texts kept.

All meaning is computed here, off the event loop: one thread owns the model, so calls queue instead of
fighting for the cores. Long work is cut in batches, and an utterance waits for one batch at most.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.duplex import EngineUnavailable
from agent.engines.cascade.responder.sentence_model import SentenceModel, model_folder

BATCH = 16
KEPT_TEXTS = 8_192

T = TypeVar("T")
Vector = NDArray[np.float32]


class Encoder:
    """Shared by all calls of a process; starts empty, loads the model on ``start``."""

    def __init__(self) -> None:
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
        wanted = list(dict.fromkeys(texts))
        vectors: dict[str, Vector] = {}

        def step(start: int) -> None:
            try:
                batch = wanted[start : start + BATCH]
                vectors.update(zip(batch, self.encode(batch), strict=True))
                if start + BATCH < len(wanted):
                    self._submit(lambda: step(start + BATCH))
                else:
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

    def _load(self) -> None:
        if self._model is None:
            self._model = SentenceModel(model_folder())

    def _submit(self, work: Callable[[], T]) -> "Future[T]":
        if self._thread is None:
            raise EngineUnavailable("The embedded responder was not started.")
        return self._thread.submit(work)
