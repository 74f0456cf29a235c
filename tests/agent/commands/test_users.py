"""`parley users`, as people type it, on a SQLite file."""

import asyncio
import json
from getpass import getuser
from pathlib import Path

import pytest

from personas.accounts import AccountError, Accounts, User
from personas.db import Database
from tests.agent.commands.conftest import Parley


def may_sign_in(tmp_path: Path, name: str, password: str) -> bool:
    async def check() -> User | None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'data' / 'parley.db'}")
        try:
            return await Accounts(database).check(name, password)
        finally:
            await database.close()

    return asyncio.run(check()) is not None


def test_users_come_change_and_go(parley: Parley, tmp_path: Path) -> None:
    parley("db", "upgrade")
    parley("users", "add", "Ann", typed="first password\nfirst password\n")
    made_up = parley("users", "add", "bob", "--make-up").stdout.strip()
    parley("users", "set-password", "ann", "--stdin", typed="second password\n")
    assert parley("users", "list").stdout.splitlines() == ["ann\tadmin\tpassword", "bob\tanalyst\tpassword"]
    parley("users", "set-role", "bob", "editor")
    parley("users", "sign-out", "bob")
    assert "bob\teditor" in parley("users", "list").stdout
    assert may_sign_in(tmp_path, "bob", made_up)
    assert may_sign_in(tmp_path, "ann", "second password")
    assert not may_sign_in(tmp_path, "ann", "first password")
    parley("users", "remove", "bob")
    assert not may_sign_in(tmp_path, "bob", made_up)
    told = json.loads(parley("audit", "--json").stdout)
    assert [each["action"] for each in told] == [
        *("user_removed", "signed_out_everywhere", "role_changed", "password_changed", "user_added", "user_added")
    ]
    assert {(each["actor"]["name"], each["actor"]["via"]) for each in told} == {(getuser(), "command line")}
    assert len(parley("audit", "--action", "user_removed", "--limit", "2").stdout.strip().splitlines()) == 3
    assert json.loads(parley("audit", "--until", "2020-01-01", "--json").stdout) == []
    assert "persona_published" in parley("audit", "--action", "x", code=2).output
    assert "written like" in parley("audit", "--since", "x", code=2).output


def test_what_cannot_be_is_said(parley: Parley) -> None:
    assert parley("users", "list").stdout == ""
    with pytest.raises(AccountError, match="no admin yet"):
        parley("users", "add", "ann", "--make-up", "--role", "editor")
    parley("users", "add", "ann", "--make-up")
    for command in (("remove", "ann"), ("set-role", "ann", "editor")):
        with pytest.raises(AccountError, match="only admin"):
            parley("users", *command)
    assert "analyst, editor, admin" in parley("users", "set-role", "ann", "boss", code=2).output
    with pytest.raises(AccountError, match="no user bob"):
        parley("users", "remove", "bob")
    with pytest.raises(AccountError, match="8 to 256"):
        parley("users", "set-password", "ann", "--stdin", typed="short\n")
    assert "exclude each other" in parley("users", "add", "bob", "--stdin", "--make-up", code=2).output
