"""How often a wrong password may be given before one has to wait."""

import ipaddress
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 300.0
KEPT_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Most wrong passwords in WINDOW_S seconds: of one account from one address, of one address, of one account.

    Every wait ends by itself. The last limit is high: an attacker of many addresses can hold up an account
    while the attack lasts, but guesses no more than this.
    """

    pair: int = 5
    address: int = 20
    account: int = 100


class Throttle:
    """Attempts at this process; each process of several counts its own."""

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._attempts: dict[tuple[str, str], deque[float]] = {}

    def wait_s(self, account: str, address: str) -> int:
        """Return for how many seconds no password of this account is looked at from this address; 0 is none."""
        now = self._clock()
        return max(self._wait_s(key, most, now) for key, most in self._keys(account, address))

    def attempted(self, account: str, address: str) -> None:
        """Count an attempt; call it before the password is looked at, so that attempts at one moment count, too."""
        now = self._clock()
        for key, most in self._keys(account, address):
            times = self._attempts.pop(key, None) or deque(maxlen=most)
            times.append(now)
            self._attempts[key] = times  # at the end: the first is the one not heard of for longest
        while len(self._attempts) > KEPT_KEYS:
            del self._attempts[next(iter(self._attempts))]

    def succeeded(self, account: str, address: str) -> None:
        """Take back the last attempt, and forget what this person mistyped before."""
        (pair, _), *others = self._keys(account, address)
        self._attempts.pop(pair, None)
        for key, _most in others:
            if self._attempts.get(key):
                self._attempts[key].pop()

    def _keys(self, account: str, address: str) -> list[tuple[tuple[str, str], int]]:
        account, network = account.strip().lower(), _network(address)
        limits = self._limits
        return [((account, network), limits.pair), (("", network), limits.address), ((account, ""), limits.account)]

    def _wait_s(self, key: tuple[str, str], most: int, now: float) -> int:
        times = self._attempts.get(key)
        if times is None or len(times) < most or now - times[0] >= WINDOW_S:
            return 0
        return int(times[0] + WINDOW_S - now) + 1


def _network(address: str) -> str:
    """Return the address itself, or an IPv6 address's /64: one subscriber has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address or "unknown"
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
