"""Users: the first start, passwords, and what a new password does."""

import pytest
from argon2 import PasswordHasher

from personas.accounts import AccountError, Accounts, ensure_admin
from personas.db import Database

PASSWORD = "correct horse battery"


async def test_the_first_start_makes_up_a_password_once(database: Database) -> None:
    made_up = await ensure_admin(database)
    assert made_up
    assert len(made_up) >= 12
    assert await ensure_admin(database) is None
    user = await Accounts(database).check("admin", made_up)
    assert user is not None
    assert user.name == "admin"


async def test_a_password_given_is_set_on_the_first_start_only(database: Database) -> None:
    assert await ensure_admin(database, PASSWORD) is None
    assert await ensure_admin(database, "another password") is None
    accounts = Accounts(database)
    assert await accounts.check("admin", PASSWORD)
    assert await accounts.check("admin", "another password") is None


async def test_wrong_names_and_passwords_are_refused(database: Database) -> None:
    accounts = Accounts(database)
    await accounts.add("Ann", PASSWORD)
    assert await accounts.check(" ANN ", PASSWORD)
    for name, password in (("ann", "wrong password"), ("bob", PASSWORD), ("", ""), ("ann", "x" * 10_000)):
        assert await accounts.check(name, password) is None


async def test_a_new_password_voids_older_sessions(database: Database) -> None:
    accounts = Accounts(database)
    before = await accounts.add("ann", PASSWORD)
    await accounts.set_password("ann", "another password")
    after = await accounts.user(before.id)
    assert after is not None
    assert after.stamp != before.stamp
    assert await accounts.check("ann", PASSWORD) is None


async def test_what_cannot_be_is_said_with_the_remedy(database: Database) -> None:
    accounts = Accounts(database)
    await accounts.add("ann", PASSWORD)
    with pytest.raises(AccountError, match="give that user a new password"):
        await accounts.add("Ann", PASSWORD)
    with pytest.raises(AccountError, match="no user bob"):
        await accounts.set_password("bob", PASSWORD)
    with pytest.raises(AccountError, match="8 to 256 characters"):
        await accounts.add("bob", "short")
    with pytest.raises(AccountError, match="without spaces"):
        await accounts.add("b ob", PASSWORD)
    assert [user.name for user in await accounts.users()] == ["ann"]


async def test_a_hash_of_less_work_is_made_anew_at_the_next_login(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = Accounts(database)
    before = await accounts.add("ann", PASSWORD)
    monkeypatch.setattr("personas.accounts._hasher", PasswordHasher(time_cost=2, memory_cost=64, parallelism=1))
    after = await accounts.check("ann", PASSWORD)
    assert after is not None
    assert after.stamp != before.stamp
    assert await accounts.check("ann", PASSWORD) == after
