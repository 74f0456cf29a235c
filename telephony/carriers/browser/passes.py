"""Who may call from a browser: requests that we signed beforehand, for a while, for whom we know.

a signed-in user's page ──▶ Passes.sign(path, form, …) ──▶ the page ──▶ Passes.check(path, form, signature)

A page can't keep a secret of ours, so it signs nothing: each request of one call is signed for it before.
"""

import hmac
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from telephony.errors import BadSignature

UNTIL = "Until"
"""The form's field with the Unix time, in whole seconds, from which a signature is worth nothing."""


class Passes:
    """Signs and checks by HMAC-SHA256 under ``key``, which all processes behind one address share."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        """Without a key nothing is good; ``clock`` is Unix time in seconds."""
        self._key = key
        self._clock = clock

    def sign(self, path: str, form: Mapping[str, str], life_s: float) -> tuple[dict[str, str], str]:
        """Return the form with its end of life in it, and the signature of both with ``path``."""
        lasting = {**form, UNTIL: str(int(self._clock() + life_s))}
        return lasting, self._signature(path, lasting)

    def check(self, path: str, form: Mapping[str, str], given: str) -> None:
        """See that ``given`` was made by ``sign`` for this path and form, not too long ago.

        Raises:
            BadSignature: it was not.
        """
        if not self._key:
            raise BadSignature("No secret is set, so no browser may call; set PARLEY_SESSION_SECRET.")
        if not hmac.compare_digest(self._signature(path, form).encode(), given.encode()):
            raise BadSignature("The request was not signed by this server; reload the page and begin again.")
        until = form.get(UNTIL, "")
        if not (until.isascii() and until.isdigit()) or self._clock() >= int(until):
            raise BadSignature("The call was begun too long ago; reload the page and begin again.")

    def _signature(self, path: str, form: Mapping[str, str]) -> str:
        signed = f"{path}\n{urlencode(sorted(form.items()))}"
        return hmac.new(self._key or b"-", signed.encode(), "sha256").hexdigest()


def check_origin(headers: Mapping[str, str], public_url: str) -> None:
    """See that a page of this very server made a request: browsers name the page's origin, and no page can forge it.

    Behind a proxy that does not pass Host on, the public origin counts.

    Raises:
        BadSignature: another site's page did, or no browser.
    """
    origin = urlsplit(headers.get("origin", "")).netloc.lower()
    if not origin or origin not in (headers.get("host", "").lower(), urlsplit(public_url).netloc.lower()):
        raise BadSignature("The request does not come from a page of this server.")
