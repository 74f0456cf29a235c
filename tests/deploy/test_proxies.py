"""Who signs in, as seen through a reverse proxy: its word counts where it was named, and nobody else's."""

from pathlib import Path

import httpx
import pytest

from agent.settings import SettingsError, load
from tests.agent.exchange import exchange
from tests.personas.browser import hidden_field

GUESSES_OF_A_PAIR = 5
STRANGER, OWNER = "198.51.100.7", "203.0.113.9"


async def guess(url: str, forwarded_for: str) -> int:
    """Sign in with a wrong password from a browser without cookies; return the status."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        token = hidden_field((await client.get("/login")).text, "csrf_token")
        form = {"csrf_token": token, "name": "admin", "password": "wrong", "next": "/"}
        return (await client.post("/login", data=form, headers={"X-Forwarded-For": forwarded_for})).status_code


@pytest.mark.parametrize(
    ("proxies", "owner", "liar"),
    [
        pytest.param("", 429, 429, id="nobody is believed: all share the proxy's address"),
        pytest.param("10.0.0.0/8, 127.0.0.1", 401, 429, id="the named proxy is believed, what it was told is not"),
        pytest.param("10.0.0.0/8", 429, 429, id="another proxy was named"),
    ],
)
async def test_guesses_are_counted_by_address(
    tmp_path: Path, furnished: Path, proxies: str, owner: int, liar: int
) -> None:
    async with exchange(tmp_path, furnished, trusted_proxies=proxies) as where:
        assert [await guess(where.url, STRANGER) for _ in range(GUESSES_OF_A_PAIR)] == [401] * GUESSES_OF_A_PAIR
        assert await guess(where.url, OWNER) == owner
        assert await guess(where.url, f"{OWNER}, {STRANGER}") == liar


@pytest.mark.parametrize("value", ["*", "localhost", "10.0.0.1/8", "10.0.0.1;10.0.0.2"])
def test_a_proxy_is_named_by_its_address(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^PARLEY_TRUSTED_PROXIES must be IP addresses or networks, .*\.$"):
        load(trusted_proxies=value)
