"""What `parley serve` prints for people, and what it logs for machines."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands.serve import _missing
from agent.settings import load


def test_json_logs_are_json_from_the_first_line_to_the_last(tmp_path: Path) -> None:
    """All but the password that was made up: that is shown once, to who sits here."""
    settings = {
        "PORT": "0",
        "ENGINE": "loopback",
        "SCORE_CALLS": "false",
        "LOG_FORMAT": "json",
        "DATA_DIR": str(tmp_path),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    environment |= {f"PARLEY_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "agent.cli", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        lines: list[str] = []
        for line in server.stderr:
            lines.append(line)
            if "Login" in line:  # the last that it says of itself
                server.send_signal(signal.SIGTERM)
    assert server.returncode == 0
    logged = [json.loads(line) for line in lines if "Login" not in line]
    assert logged[0]["event"] == "parley is up"
    assert logged[0]["console"].startswith("http://127.0.0.1:")
    assert any("PARLEY_TWILIO_AUTH_TOKEN is not set" in each.get("what", "") for each in logged)
    assert logged[-1]["event"] == "told to stop"
    assert len(lines) == len(logged) + 1


@pytest.mark.parametrize(
    ("host", "address", "is_said"), [("127.0.0.1", "10.0.0.5", True), ("0.0.0.0", "fd00::5", False)]
)
def test_who_listens_where_no_other_machine_comes_is_told(host: str, address: str, is_said: bool) -> None:
    shared = {"database_url": "postgresql://db/parley", "session_secret": "s" * 32}
    missing = _missing(load(host=host, peer_address=address, **shared), any_personas=True, any_numbers=True)
    assert any(each.startswith("PARLEY_HOST is 127.0.0.1: no other machine reaches") for each in missing) == is_said
