"""The console's users: their passwords are kept as argon2 hashes and checked off the event loop."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy import false, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from personas import audit
from personas.audit import PARLEY, Action, Actor, Subject
from personas.db import Database
from personas.errors import PersonaError
from personas.roles import Role
from personas.sso import Person
from personas.tables import UserRow

ADMIN = "admin"
LEAST_PASSWORD, LONGEST_PASSWORD = 8, 256
LONGEST_NAME = 64
CONSOLE_ITSELF = Subject("console", "")

_hasher = PasswordHasher()
# A hash takes 64 MiB and a core; more at once would only wait for each other.
_threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")


class AccountError(PersonaError):
    """A user that can't be made or changed; the message names the remedy."""


class NameTaken(AccountError):
    """There is a user of this name."""


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may use the console.

    ``stamp`` changes with the password and when they are signed out everywhere: sessions made before are void.
    ``is_sso``: they sign in by single sign-on, have no password, and their role is the provider's to say.
    """

    id: int
    name: str
    stamp: str
    role: Role
    is_sso: bool = False
    display_name: str = ""
    email: str = ""
    signed_in_at: datetime | None = None

    @property
    def actor(self) -> Actor:
        """The user as the audit log names them."""
        return Actor(self.name, str(self.id))

    def may(self, role: str) -> bool:
        """Return whether they may do what a role may."""
        return self.role.includes(Role(role))


class Accounts:
    """The users in one database, changed by ``actor``. Names are compared without regard to case."""

    def __init__(self, database: Database, actor: Actor = PARLEY) -> None:
        self._database = database
        self._actor = actor

    def by(self, actor: Actor) -> "Accounts":
        """Return the same users, in the hands of ``actor``."""
        return Accounts(self._database, actor)

    async def add(self, name: str, password: str, role: Role | None = None) -> User:
        """Add a user; without ``role`` the first admin, or else an analyst.

        Raises:
            AccountError: the name is taken or unusable, the password too short or too long, or no admin there yet.
        """
        name, password_hash = _checked_name(name), await _hash(password)
        async with self._database.session() as session:
            await _take_turns(session)
            if await _by_name(session, name):
                raise NameTaken(f"there is a user {name} already; take another name, or give that user a new password")
            is_first = not await _admins(session)
            if is_first and role not in (None, Role.ADMIN):
                raise AccountError("there is no admin yet; add one first, with --role admin")
            role = role or (Role.ADMIN if is_first else Role.ANALYST)
            row = UserRow(name=name, password_hash=password_hash, role=role.value, created_at=datetime.now(UTC))
            session.add(row)
            await session.flush()
            self._note(session, Action.USER_ADDED, row, role)
        return _user(row)

    async def set_password(self, name: str, password: str) -> User:
        """Give a user a new password, which also signs them out everywhere.

        Raises:
            AccountError: there is no such user, they have none, or the password is too short or too long.
        """
        password_hash = await _hash(password)
        async with self._changing(name) as (session, row):
            if row.subject is not None:
                raise AccountError(f"{row.name} signs in by single sign-on and has no password here")
            row.password_hash = password_hash
            self._note(session, Action.PASSWORD_CHANGED, row)
        return _user(row)

    async def set_role(self, name: str, role: Role) -> None:
        """Give a user another role, from their next request on.

        Raises:
            AccountError: there is no such user, the role is the provider's to say, or they are the last admin.
        """
        async with self._changing(name) as (session, row):
            if row.subject is not None:
                raise AccountError(f"{row.name} signs in by single sign-on; the provider says their role")
            if row.role == role:
                return
            await _keep_an_admin(session, row)
            before, row.role = row.role, role.value
            self._note(session, Action.ROLE_CHANGED, row, f"from {before} to {role}")

    async def sign_out(self, name: str) -> User:
        """End all sessions of a user; raises AccountError where there is no such user."""
        async with self._changing(name) as (session, row):
            row.session_key = secrets.token_hex(16)
            self._note(session, Action.SIGNED_OUT_EVERYWHERE, row)
        return _user(row)

    async def remove(self, name: str) -> None:
        """Remove a user, who is signed out everywhere by that.

        Raises:
            AccountError: there is no such user, or they are the last admin.
        """
        async with self._changing(name) as (session, row):
            await _keep_an_admin(session, row)
            await session.delete(row)
            self._note(session, Action.USER_REMOVED, row)

    async def check(self, name: str, password: str) -> User | None:
        """Return the user if name and password are right; a wrong name takes as long as a wrong password."""
        async with self._database.session() as session:
            row = await _by_name(session, name.strip().lower())
        known = row is not None and row.subject is None
        password_hash = row.password_hash if row is not None and known else await _decoy()
        if not await _verify(password_hash, password) or row is None or not known:
            return None
        if _hasher.check_needs_rehash(row.password_hash):
            row.password_hash = await _hash(password)
            async with self._database.session() as session:  # unless it was changed in between
                same = update(UserRow).where(UserRow.id == row.id, UserRow.password_hash == password_hash)
                await session.execute(same.values(password_hash=row.password_hash))
        return _user(row)

    async def let_in(self, user: User, how: str) -> None:
        """Write down that a user signed in, and how."""
        async with self._database.session() as session:
            same = update(UserRow).where(UserRow.id == user.id)
            await session.execute(same.values(signed_in_at=datetime.now(UTC)))
            audit.note(session, user.actor, Action.SIGNED_IN, CONSOLE_ITSELF, how)

    async def arrived(self, person: Person, role: Role) -> User:
        """Return the user that a provider knows, made when they first come; what it says of them is kept up to date."""
        async with self._database.session() as session:
            await _take_turns(session)
            row = await _by_person(session, person)
            if row is None:
                known = {"issuer": person.issuer, "subject": person.subject, "session_key": secrets.token_hex(16)}
                row = UserRow(name=await _free_name(session, person.name), password_hash="", role=role.value, **known)
                row.created_at = datetime.now(UTC)
                session.add(row)
                await session.flush()
                self._note(session, Action.USER_ADDED, row, f"{role}, by single sign-on")
            elif row.role != role:
                self._note(session, Action.ROLE_CHANGED, row, f"from {row.role} to {role}, by single sign-on")
            row.role, row.display_name, row.email = role.value, person.display_name, person.email
        return _user(row)

    async def departed(self, person: Person) -> User | None:
        """End the sessions of somebody to whom a provider gives no role any more; return them, None if never here.

        They keep the least role, so that nobody takes them for an admin who could still come.
        """
        async with self._database.session() as session:
            await _take_turns(session)
            row = await _by_person(session, person)
            if row is None:
                return None
            row.session_key, row.role = secrets.token_hex(16), Role.ANALYST.value
        return _user(row)

    async def user(self, user_id: int) -> User | None:
        """Return a user by id."""
        async with self._database.session() as session:
            row = await session.get(UserRow, user_id)
        return None if row is None else _user(row)

    async def named(self, name: str) -> User | None:
        """Return a user by name."""
        async with self._database.session() as session:
            row = await _by_name(session, name.strip().lower())
        return None if row is None else _user(row)

    async def users(self, part: str = "", limit: int | None = None) -> list[User]:
        """Return users by name, at most ``limit``; with ``part`` those whose name or address holds it."""
        query = select(UserRow).order_by(UserRow.name).limit(limit)
        if part:
            texts = UserRow.name, UserRow.display_name, UserRow.email
            query = query.where(or_(*(text.icontains(part, autoescape=True) for text in texts)))
        async with self._database.session() as session:
            return [_user(row) for row in await session.scalars(query)]

    @asynccontextmanager
    async def _changing(self, name: str) -> AsyncIterator[tuple[AsyncSession, UserRow]]:
        """One transaction about one user, while nobody else changes users; raises AccountError without the user."""
        name = _checked_name(name)
        async with self._database.session() as session:
            await _take_turns(session)
            row = await _by_name(session, name)
            if row is None:
                raise AccountError(f"there is no user {name}")
            yield session, row

    def _note(self, session: AsyncSession, action: Action, row: UserRow, detail: str = "") -> None:
        audit.note(session, self._actor, action, Subject("user", str(row.id), row.name), detail)


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
    try:
        await Accounts(database).add(ADMIN, password or made_up, Role.ADMIN)
    except NameTaken:  # another process was first, and printed its own
        return None
    return made_up or None


async def _take_turns(session: AsyncSession) -> None:
    """Keep others from changing users until the transaction ends: two admins can't demote each other at once."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
    else:  # the first write takes SQLite's one write lock
        await session.execute(update(UserRow).where(false()).values(name=UserRow.name))


async def _by_name(session: AsyncSession, name: str) -> UserRow | None:
    return await session.scalar(select(UserRow).where(UserRow.name == name))


async def _by_person(session: AsyncSession, person: Person) -> UserRow | None:
    known = UserRow.issuer == person.issuer, UserRow.subject == person.subject
    return await session.scalar(select(UserRow).where(*known))


async def _free_name(session: AsyncSession, wanted: str) -> str:
    """Return a name that nobody has: never that of a user with a password, who would be taken for another."""
    plain = "-".join(wanted.lower().split())[: LONGEST_NAME - 8] or "user"
    name, number = plain, 1
    while await _by_name(session, name):
        number += 1
        name = f"{plain}-{number}"
    return name


async def _admins(session: AsyncSession) -> list[int]:
    return list(await session.scalars(select(UserRow.id).where(UserRow.role == Role.ADMIN.value)))


async def _keep_an_admin(session: AsyncSession, row: UserRow) -> None:
    if await _admins(session) == [row.id]:
        raise AccountError(f"{row.name} is the only admin; make another user admin first")


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
    stamp = sha256((row.password_hash + row.session_key).encode()).hexdigest()[:16]
    about = {"display_name": row.display_name, "email": row.email, "signed_in_at": row.signed_in_at}
    return User(row.id, row.name, stamp, Role(row.role), is_sso=row.subject is not None, **about)
