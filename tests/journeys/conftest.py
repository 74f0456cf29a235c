"""Journeys start with a whole server, as the tests of the call do, and end in a browser."""

from tests.agent.conftest import furnished as furnished
from tests.agent.conftest import open_exchange as open_exchange
from tests.browser.conftest import chromium as chromium
