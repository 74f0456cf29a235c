"""What the tests of personas share."""

from collections.abc import AsyncIterator

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from personas import accounts
from personas.accounts import ensure_admin
from personas.admin import console
from personas.db import Database
from tests.personas.browser import Browser


@pytest.fixture(autouse=True)
def cheap_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords the same way with less work: it is the cost that makes them safe, and slow to test."""
    monkeypatch.setattr(accounts, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    monkeypatch.setattr(accounts, "_decoys", [])


@pytest.fixture
async def browser(database: Database) -> AsyncIterator[Browser]:
    app = FastAPI()
    console.mount(app, database=database, session_secret="s" * 40, secure=False, own_voices=("clara",))
    await ensure_admin(database, "correct horse")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        browser = Browser(client)
        signed_in = await browser.post(
            "/login", await browser.get("/login"), name="admin", password="correct horse", next="/personas"
        )
        assert signed_in.status_code == 303
        yield browser
