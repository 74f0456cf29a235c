"""Questions between processes, sealed with a key that they share: who lacks it can neither ask nor ask again.

seal, blank, JSON, line end. The JSON names the process that is asked, which takes each question once and only while it
is fresh: what was overheard can't be sent to it again, nor to another.
"""

import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from crm.call import Handoff

What = Literal["lines", "hang_up", "hand_off"]
MOST_BYTES = 4_096
"""Longest sealed question; a name and a number have hundreds of bytes."""
FRESH_S = 30.0
"""How old a question may be, and how far two machines' clocks apart."""


class BadSeal(Exception):
    """A question that is not answered; the message says why, to those who run both machines."""


@dataclass(frozen=True, slots=True)
class Question:
    """What process ``to``, as ``CallStore.gateway`` names it, is asked about a call, or to do for ``user``."""

    to: str
    what: What
    call_id: str
    user: str = ""
    handoff: Handoff | None = None


class Seals:
    """One process's; ``own`` is its name. ``clock`` returns seconds since 1970."""

    def __init__(self, secret: str, own: str, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret.encode(), b"neighbours", "sha256")
        self._own = own
        self._clock = clock
        self._taken: dict[str, float] = {}

    def seal(self, question: Question) -> bytes:
        """Return a question as it is sent, good for half a minute."""
        values = asdict(question) | {"at": self._clock(), "once": secrets.token_hex(16)}
        text = json.dumps(values).encode()
        return self._mark(text) + b" " + text + b"\n"

    def addressee(self, line: bytes) -> str:
        """Return whom a question is for, so that it can be passed on.

        Raises:
            BadSeal: it is forged, torn or stale.
        """
        return self._values(line)["to"]

    def open(self, line: bytes) -> Question:
        """Return what this process is asked; works once.

        Raises:
            BadSeal: as ``addressee``; or it is for another process, or was answered before.
        """
        values = self._values(line)
        once, now = values.pop("once"), self._clock()
        del values["at"]
        if values["to"] != self._own:
            raise BadSeal("The question is for another process.")
        self._taken = {each: taken_at for each, taken_at in self._taken.items() if now - taken_at <= 2 * FRESH_S}
        if once in self._taken:
            raise BadSeal("The question was answered before.")
        self._taken[once] = now
        handoff = values.pop("handoff")
        return Question(**values, handoff=Handoff(**handoff) if handoff else None)

    def _values(self, line: bytes) -> dict[str, Any]:
        mark, _, text = line.rstrip(b"\n").partition(b" ")
        if not hmac.compare_digest(mark, self._mark(text)):
            raise BadSeal("The seal is wrong: PARLEY_SESSION_SECRET is not the same on both machines.")
        values = json.loads(text)
        if abs(self._clock() - values["at"]) > FRESH_S:
            raise BadSeal("The question is stale: the machines' clocks differ by more than half a minute.")
        return values

    def _mark(self, text: bytes) -> bytes:
        return hmac.digest(self._key, text, "sha256").hex().encode()
