"""How often a wrong password may be given before one has to wait; counted in the database, by all processes as one.

name, address ──▶ keys ──▶ sign_in_attempts ──▶ seconds to wait, 0: the password may be looked at
"""

import hmac
import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy import delete, func, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from personas.db import Database
from personas.tables import SignInAttemptRow

WINDOW = timedelta(minutes=5)
KEPT_ROWS = 100_000  # far more than passwords can be looked at in five minutes
DEVICE_S = 90 * 86_400

Keys = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Most wrong passwords in WINDOW: of one account from one address, of one address, of one account; of a device.

    Every wait ends by itself. An attacker of many addresses can use up an account's hundred for as long as the
    attack lasts, and guesses no more than that; who has signed in from a browser before is counted by that
    browser alone, so that no stranger keeps them out.
    """

    pair: int = 5
    address: int = 20
    account: int = 100
    device: int = 5


class Throttle:
    """Attempts to sign in. ``key`` is the same in all processes that share the database.

    Rows hold keyed hashes: people type passwords into the field for the name, and addresses are nobody's business.
    """

    def __init__(
        self,
        database: Database,
        key: bytes,
        limits: Limits | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._key = key
        self._limits = limits or Limits()
        self._clock = clock
        self._devices = URLSafeTimedSerializer(key, salt="device")

    async def attempt(self, account: str, address: str, device: str = "") -> int:
        """Count an attempt and return 0, or for how many seconds none is looked at, which counts nothing.

        Call it before the password is looked at, so that attempts at one moment count, too.

        Args:
            device: what the browser kept of ``remembered``, or "".
        """
        keys, now = self._keys(account, address, device), self._clock()
        async with self._database.session() as session:  # who has to wait keeps nobody from writing
            wait_s = await _wait_s(session, keys, now)
        if wait_s:
            return wait_s
        async with self._database.session() as session:
            await _take_turns(session, now)
            wait_s = await _wait_s(session, keys, now)
            if not wait_s:
                await session.execute(insert(SignInAttemptRow), [{"key": key, "at": now} for key, _most in keys])
        return wait_s

    async def succeeded(self, account: str, address: str, device: str = "") -> None:
        """Take back the last attempt, and forget what this person mistyped before."""
        (own, _), *others = self._keys(account, address, device)
        async with self._database.session() as session:
            await session.execute(delete(SignInAttemptRow).where(SignInAttemptRow.key == own))
            for key, _most in others:
                last = select(func.max(SignInAttemptRow.id)).where(SignInAttemptRow.key == key).scalar_subquery()
                await session.execute(delete(SignInAttemptRow).where(SignInAttemptRow.id == last))

    def remembered(self, account: str) -> str:
        """Return what a browser that has signed in shall keep, to be known by for 90 days."""
        return self._devices.dumps([self._hash("account", _plain(account)), secrets.token_hex(8)])  # pyright: ignore[reportReturnType]

    def _keys(self, account: str, address: str, device: str) -> Keys:
        """Return what an attempt counts for, and the most of each; the first is this person's own."""
        account, network = _plain(account), _network(address)
        whose = self._hash("account", account)
        try:
            owner, nonce = self._devices.loads(device, max_age=DEVICE_S)
        except BadSignature:  # an expired one, too
            owner, nonce = "", ""
        limits = self._limits
        if owner == whose:
            return [(self._hash("device", nonce), limits.device)]
        pair = self._hash("pair", account, network)
        return [(pair, limits.pair), (self._hash("address", network), limits.address), (whose, limits.account)]

    def _hash(self, *parts: str) -> str:
        return hmac.digest(self._key, "\0".join(parts).encode(errors="replace"), "sha256").hex()


async def _take_turns(session: AsyncSession, now: datetime) -> None:
    """Keep other processes from counting until the transaction ends, and drop what counts no more."""
    if session.get_bind().dialect.name == "postgresql":  # on SQLite the first DELETE takes the one write lock
        await session.execute(text("LOCK TABLE sign_in_attempts IN SHARE ROW EXCLUSIVE MODE"))
    at = SignInAttemptRow.at  # one from the future is from before the clock was set back
    await session.execute(delete(SignInAttemptRow).where(or_(at <= now - WINDOW, at > now + WINDOW)))
    newest = select(func.max(SignInAttemptRow.id)).scalar_subquery()
    await session.execute(delete(SignInAttemptRow).where(SignInAttemptRow.id <= newest - KEPT_ROWS))


async def _wait_s(session: AsyncSession, keys: Keys, now: datetime) -> int:
    longest_s = 0
    for key, most in keys:
        row = SignInAttemptRow
        recent = select(row.at).where(row.key == key, row.at > now - WINDOW, row.at <= now + WINDOW)
        first = await session.scalar(recent.order_by(row.at.desc()).offset(most - 1).limit(1))
        if first is not None:
            longest_s = max(longest_s, int((min(first, now) + WINDOW - now).total_seconds()) + 1)
    return longest_s


def _plain(account: str) -> str:
    return account.strip().lower()


def _network(address: str) -> str:
    """Return the address itself, or an IPv6 address's /64: one subscriber has all of it."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address or "unknown"
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
