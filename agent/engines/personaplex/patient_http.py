"""Requests that don't come: a connection that sends none, or never ends one, is closed, so that others find room.

uvicorn alone keeps it for as long as its client likes; a thousand of them take all files that a process may open.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_S = 10.0
"""How long a request may take to come, and a connection that is kept may bring none; twice that at most."""


class PatientHttp(HttpToolsProtocol):
    """uvicorn's HTTP; what it takes of its inside is listed in the test of ``fair_socket``."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._answered: object = None
        self._watch()

    def _watch(self) -> None:
        self._patience = self.loop.call_later(REQUEST_S, self._look)

    def _look(self) -> None:
        """Close a connection that has brought no request since the last look; one that became a call is another's."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        cycle = self.cycle
        if cycle is self._answered and (cycle is None or cycle.response_complete):
            self.transport.close()
            return
        self._answered = cycle
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)
