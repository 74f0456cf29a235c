"""The responder that runs from packages alone: one sentence model for all calls, one index a card."""

from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from agent.duplex import RoleCard
from agent.engines.cascade import elsewhere
from agent.engines.cascade.ports import ResponderSession
from agent.engines.cascade.responder import acts
from agent.engines.cascade.responder.dialogue import EmbeddedSession
from agent.engines.cascade.responder.encoder import Encoder, Vector
from agent.engines.cascade.responder.index import CardIndex, Entry, entries_of
from agent.engines.cascade.responder.ranking import fitted
from agent.engines.cascade.responder.understanding import Understanding
from agent.engines.cascade.shelf import Shelf

KEPT_CARDS = 64
_SHARED = [*(phrase for phrases in acts.PHRASES.values() for phrase in phrases), *elsewhere.questions()]


class EmbeddedResponder:
    """See agent.engines.cascade.ports.Responder."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keep the vectors of cards in ``folder`` for the next start; None keeps them in memory only."""
        self._encoder = Encoder(None if folder is None else Shelf(folder))
        self._cards: OrderedDict[RoleCard, Future[Understanding]] = OrderedDict()

    async def start(self) -> None:
        """Load the sentence model; what every card shares is read in the background.

        Raises:
            EngineUnavailable: with the command that installs it.
        """
        await self._encoder.start()
        self._encoder.prepare(_SHARED)

    async def open(self, card: RoleCard) -> ResponderSession:
        """Return at once; a card not seen before is read in the background, while the greeting plays."""
        return EmbeddedSession(card, self._understanding(replace(card, customer_name="", customer_profile="")))

    async def close(self) -> None:
        self._cards.clear()
        await self._encoder.close()

    def _understanding(self, card: RoleCard) -> "Future[Understanding]":
        """Return the card's understanding, shared by all calls with an equal card."""
        if card not in self._cards or (self._cards[card].done() and self._cards[card].exception() is not None):
            self._cards[card] = self._read(card)
        self._cards.move_to_end(card)
        while len(self._cards) > KEPT_CARDS:
            self._cards.popitem(last=False)
        return self._cards[card]

    def _read(self, card: RoleCard) -> "Future[Understanding]":
        entries = entries_of(card)
        read: Future[Understanding] = Future()
        read.set_running_or_notify_cancel()  # a call that ends while waiting must not cancel it for the others

        def finish(vectors: "Future[dict[str, Vector]]") -> None:
            try:
                read.set_result(_understand(entries, vectors.result(), self._encoder))
            except BaseException as error:
                read.set_exception(error)

        self._encoder.prepare([text for entry in entries for text in entry.texts] + _SHARED).add_done_callback(finish)
        return read


def _understand(entries: tuple[Entry, ...], vectors: dict[str, Vector], encoder: Encoder) -> Understanding:
    return Understanding(CardIndex(entries, vectors), encoder, fitted())
