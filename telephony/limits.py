"""How much one caller, one call and one socket may ask for: token buckets, a bounded number of them.

Signatures are checked before any limit is counted: all requests may come through one load balancer, so a limit on
addresses would let anybody who can reach the server shut the carrier out.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MAX_KEYS = 10_000
_BYTES_PER_TOKEN = 4_096


@dataclass(frozen=True, slots=True)
class LineLimits:
    """What is usual many times over; 0 lifts a limit.

    ``calls_per_minute`` from one number (withheld numbers are not counted together), ``requests_per_minute`` and
    ``streams_per_minute`` for one call, ``messages_per_s`` on one socket, each 4 KiB of a message counting as one (a
    carrier sends 50; forty seconds of it may come at once, after the network stood still).
    """

    calls_per_minute: int = 60
    requests_per_minute: int = 60
    streams_per_minute: int = 20
    messages_per_s: int = 200


class Bucket:
    """A token bucket: ``per_s`` tokens a second, ``burst`` at most, full at first."""

    __slots__ = ("_at_s", "_burst", "_clock", "_per_s", "_tokens")

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at_s = clock()

    def take(self, tokens: float = 1) -> bool:
        """Take tokens; False, and nothing taken, if there are not enough."""
        now_s = self._clock()
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True


class RateLimit:
    """``per_minute`` events for each key, all of them at once if need be; 0 is no limit.

    The 10 000 keys seen last are kept; a key that is forgotten starts anew.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def allows(self, key: str) -> bool:
        """Count one event; False if it is one too many. Empty keys are not counted."""
        if not (self._per_minute and key):
            return True
        bucket = self._buckets.pop(key, None) or Bucket(self._per_minute / 60, self._per_minute, self._clock)
        self._buckets[key] = bucket
        if len(self._buckets) > _MAX_KEYS:
            self._buckets.popitem(last=False)
        return bucket.take()


class MessageLimit:
    """One socket's messages: ``per_s`` on average, ten seconds' worth at once; 0 is no limit.

    Tokens are taken from the bucket for a second and counted here: the clock costs as much as reading a message.
    """

    def __init__(self, per_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket = Bucket(per_s, per_s * 10, clock) if per_s else None
        self._per_s = per_s
        self._left = 0

    def allows(self, message: str | bytes) -> bool:
        """Count a message by its length; False if it is too much."""
        tokens = 1 + len(message) // _BYTES_PER_TOKEN
        if tokens > self._left:
            if self._bucket is None:
                return True
            self._left += self._taken(max(self._per_s, tokens)) or self._taken(tokens)
        if tokens > self._left:
            return False
        self._left -= tokens
        return True

    def _taken(self, tokens: int) -> int:
        return tokens if self._bucket and self._bucket.take(tokens) else 0
