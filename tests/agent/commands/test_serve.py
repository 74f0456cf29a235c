"""What `parley serve` prints for people, and what it logs for machines."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


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
