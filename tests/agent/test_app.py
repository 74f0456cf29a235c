"""What the server refuses to start with, and what it says about itself once it runs."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from agent.app import create_app
from agent.duplex import EngineUnavailable
from agent.engines.loopback import LoopbackEngine
from agent.server import serving
from agent.settings import SettingsError, load
from personas.db import DatabaseError
from tests.agent.conftest import Open


async def start(**settings: object) -> None:
    async with serving(load(port=0, twilio_auth_token="t", engine="loopback", **settings)):
        pass


async def test_it_says_whether_it_lives_and_whether_it_takes_calls(open_exchange: Open) -> None:
    where = await open_exchange()
    async with httpx.AsyncClient(base_url=where.url, trust_env=False) as http:
        assert (await http.get("/health")).json() == {"status": "ok"}
        ready = await http.get("/ready")
        assert ready.status_code == 200
        figures = ready.json()
        assert figures.pop("loop_lag_p95_ms") >= 0
        assert figures == {"status": "ready", "engine": "loopback", "slots": 10, "used": 0, "calls": 0}
        await where.state.desk.close()
        draining = await http.get("/ready")
    assert draining.status_code == 503
    assert "shutting down" in draining.json()["reason"]


async def test_the_console_is_behind_a_login(open_exchange: Open) -> None:
    where = await open_exchange()
    async with httpx.AsyncClient(base_url=where.url, trust_env=False) as http:
        answer = await http.get("/calls", headers={"accept": "text/html"}, follow_redirects=True)
    assert 'type="password"' in answer.text


async def test_the_first_start_makes_up_a_password_and_keeps_a_key(tmp_path: Path) -> None:
    async with serving(load(data_dir=tmp_path / "new", port=0), LoopbackEngine(1, 0)) as server:
        assert len(server.app.state.admin_password) >= 12
    secret = tmp_path / "new" / "session-secret"
    assert secret.stat().st_mode & 0o077 == 0
    kept = secret.read_text()
    async with serving(load(data_dir=tmp_path / "new", port=0), LoopbackEngine(1, 0)) as server:
        assert server.app.state.admin_password is None
    assert secret.read_text() == kept


async def test_what_goes_wrong_beside_the_server_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with serving(load(data_dir=tmp_path, port=0), LoopbackEngine(1, 0)):
            raise LookupError("mine")


async def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"127.0.0.1:{port} .*in use"):
            async with serving(load(data_dir=tmp_path, port=port, engine="loopback")):
                pass


async def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"PARLEY_DATA_DIR: .*File exists"):
        await start(data_dir=tmp_path / "file")


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/x", "oracle://x/y", "sqlite:///"])
async def test_a_wrong_database_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(DatabaseError, match="PARLEY_DATABASE_URL"):
        await start(data_dir=tmp_path, database_url=url)


async def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="PARLEY_DATABASE_URL"):
        await start(data_dir=tmp_path, database_url="postgresql://nobody@127.0.0.1:1/none")


@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
@pytest.mark.postgres
async def test_a_shared_database_is_not_migrated_behind_anybodys_back(tmp_path: Path, empty_database_url: str) -> None:
    with pytest.raises(DatabaseError, match="parley db upgrade"):
        await start(data_dir=tmp_path, database_url=empty_database_url)


async def test_a_short_password_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^PARLEY_ADMIN_PASSWORD: .*8 to 256"):
        await start(data_dir=tmp_path, admin_password="short")


def test_an_unknown_engine_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="choose cascade or loopback or personaplex or remote"):
        create_app(load(data_dir=tmp_path, engine="Cascade"))


def test_a_short_session_secret(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PARLEY_SESSION_SECRET"):
        create_app(load(data_dir=tmp_path, session_secret="short"), LoopbackEngine(1, 0))


def test_the_server_starts_without_scipy() -> None:
    """Its import takes a second that the first call, or the restart of a worker, would wait for."""
    program = "import sys, agent.server; sys.exit(any(name.startswith('scipy') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
