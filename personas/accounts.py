"""The console's users: their passwords are kept as argon2 hashes and checked off the event loop."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from personas import audit
from personas.audit import PARLEY, Action, Actor, Subject
from personas.db import Database
from personas.errors import PersonaError
from personas.tables import UserRow

ADMIN = "admin"
LEAST_PASSWORD, LONGEST_PASSWORD = 8, 256
LONGEST_NAME = 64

_hasher = PasswordHasher()
# A hash takes 64 MiB and a core; more at once would only wait for each other.
_threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")


class AccountError(PersonaError):
    """A user that can't be made or changed; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may use the console. ``stamp`` changes with the password: sessions made before are void."""

    id: int
    name: str
    stamp: str

    @property
    def actor(self) -> Actor:
        """The user as the audit log names them."""
        return Actor(self.name, str(self.id))


class Accounts:
    """The users in one database, changed by ``actor``. Names are compared without regard to case."""

    def __init__(self, database: Database, actor: Actor = PARLEY) -> None:
        self._database = database
        self._actor = actor

    async def add(self, name: str, password: str) -> User:
        """Add a user.

        Raises:
            AccountError: the name is taken or unusable, or the password too short or too long.
        """
        name = _checked_name(name)
        row = UserRow(name=name, password_hash=await _hash(password), created_at=datetime.now(UTC))
        try:
            async with self._database.session() as session:
                session.add(row)
                await session.flush()
                self._note(session, Action.USER_ADDED, row)
        except IntegrityError:
            raise AccountError(
                f"there is a user {name} already; change the password with 'parley users set-password {name}'"
            ) from None
        return _user(row)

    async def set_password(self, name: str, password: str) -> None:
        """Give a user a new password, which also signs them out everywhere.

        Raises:
            AccountError: there is no such user, or the password is too short or too long.
        """
        name, password_hash = _checked_name(name), await _hash(password)
        async with self._database.session() as session:
            changed = update(UserRow).where(UserRow.name == name).values(password_hash=password_hash)
            row = await session.scalar(changed.returning(UserRow))
            if row is None:
                raise AccountError(f"there is no user {name}; add one with 'parley users add {name}'")
            self._note(session, Action.PASSWORD_CHANGED, row)

    async def remove(self, name: str) -> None:
        """Remove a user, who is signed out everywhere by that.

        Raises:
            AccountError: there is no such user, or no other.
        """
        name = _checked_name(name)
        async with self._database.session() as session:
            users = {row.name: row for row in await session.scalars(select(UserRow))}
            if set(users) == {name}:
                raise AccountError(f"{name} is the only user; add another first with 'parley users add'")
            if name not in users:
                raise AccountError(f"there is no user {name}; 'parley users list' shows them all")
            await session.delete(users[name])
            self._note(session, Action.USER_REMOVED, users[name])

    async def check(self, name: str, password: str) -> User | None:
        """Return the user if name and password are right; a wrong name takes as long as a wrong password."""
        async with self._database.session() as session:
            row = await session.scalar(select(UserRow).where(UserRow.name == name.strip().lower()))
        password_hash = row.password_hash if row is not None else await _decoy()
        if not await _verify(password_hash, password) or row is None:
            return None
        if _hasher.check_needs_rehash(row.password_hash):
            row.password_hash = await _hash(password)
            async with self._database.session() as session:
                same = update(UserRow).where(UserRow.id == row.id)
                await session.execute(same.values(password_hash=row.password_hash))
        return _user(row)

    async def user(self, user_id: int) -> User | None:
        """Return a user by id."""
        async with self._database.session() as session:
            row = await session.get(UserRow, user_id)
        return None if row is None else _user(row)

    async def names(self) -> list[str]:
        """Return every user's name, sorted."""
        async with self._database.session() as session:
            return list(await session.scalars(select(UserRow.name).order_by(UserRow.name)))

    async def knows(self, name: str) -> Actor | None:
        """Return the user of this name as the audit log names them, None where there is none."""
        async with self._database.session() as session:
            row = await session.scalar(select(UserRow).where(UserRow.name == name.strip().lower()))
        return None if row is None else _user(row).actor

    def _note(self, session: AsyncSession, action: Action, row: UserRow) -> None:
        audit.note(session, self._actor, action, Subject("user", str(row.id), row.name))


async def ensure_admin(database: Database, password: str = "") -> str | None:
    """On the first start, add the user ``admin``; later starts change nothing.

    Args:
        password: the password to set; empty makes one up.

    Returns:
        The password that was made up, to be printed once; otherwise None.

    Raises:
        AccountError: the password given is too short or too long.
    """
    async with database.session() as session:
        if await session.scalar(select(func.count()).select_from(UserRow)):
            return None
    made_up = "" if password else secrets.token_urlsafe(12)
    hashed = await _hash(password or made_up)
    try:
        async with database.session() as session:
            row = UserRow(name=ADMIN, password_hash=hashed, created_at=datetime.now(UTC))
            session.add(row)
            await session.flush()
            audit.note(session, PARLEY, Action.USER_ADDED, Subject("user", str(row.id), row.name))
    except IntegrityError:  # another process was first, and printed its own
        return None
    return made_up or None


def _checked_name(name: str) -> str:
    name = name.strip().lower()
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or " " in name:
        raise AccountError(f"a user's name needs 1 to {LONGEST_NAME} characters without spaces")
    return name


async def _hash(password: str) -> str:
    if not LEAST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise AccountError(f"a password needs {LEAST_PASSWORD} to {LONGEST_PASSWORD} characters")
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def _verify(password_hash: str, password: str) -> bool:
    if len(password) > LONGEST_PASSWORD:
        return False
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.verify, password_hash, password)
    except (VerifyMismatchError, InvalidHashError):
        return False


_decoys: list[str] = []


async def _decoy() -> str:
    """Return a hash that no password has, made once a process with the parameters of real ones."""
    if not _decoys:
        _decoys.append(await _hash(secrets.token_urlsafe(32)))
    return _decoys[0]


def _user(row: UserRow) -> User:
    return User(id=row.id, name=row.name, stamp=sha256(row.password_hash.encode()).hexdigest()[:16])
