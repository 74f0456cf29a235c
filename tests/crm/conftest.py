"""What the tests of the log share."""

from collections.abc import Callable

import pytest

from crm.call import NewCall
from crm.store import CallStore
from personas.db import Database
from tests.personas.conftest import cheap_hashing as cheap_hashing
from tests.telephony.conftest import run_app as run_app


@pytest.fixture
def store(database: Database) -> CallStore:
    """A store on an empty database of each kind."""
    return CallStore(database)


@pytest.fixture
def new_call() -> Callable[..., NewCall]:
    """Makes calls that differ in nothing but what is said: ``new_call("CA1", to_number=…)``."""

    def make(carrier_call_id: str = "CA1", **changes: object) -> NewCall:
        values: dict[str, object] = {
            "carrier": "twilio",
            "carrier_call_id": carrier_call_id,
            "account_id": "AC1",
            "from_number": "+15550001",
            "to_number": "+15550100",
            "persona_slug": "waste",
            "persona_title": "Waste collection",
            "engine": "cascade",
            "role_prompt": "You work for WasteCo.",
        }
        return NewCall(**(values | changes))  # pyright: ignore[reportArgumentType]

    return make
