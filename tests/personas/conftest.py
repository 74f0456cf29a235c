"""What the tests of personas share."""

import pytest
from argon2 import PasswordHasher

from personas import accounts


@pytest.fixture(autouse=True)
def cheap_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords the same way with less work: it is the cost that makes them safe, and slow to test."""
    monkeypatch.setattr(accounts, "_hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    monkeypatch.setattr(accounts, "_decoys", [])
