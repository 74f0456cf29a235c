"""What an operator copies to a host fits the program: settings, commands, options, paths, times."""

import os
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from dotenv import dotenv_values
from fastapi import FastAPI
from starlette.routing import Match

from agent.app import create_app
from agent.cli import app
from agent.settings import PREFIX, Settings, load, misspelt

HERE = Path(__file__).parents[2] / "deploy" / "single-host"
ENV, ENGINE_ENV = HERE / "parley.env.example", HERE / "engine.env.example"
LEAST_MORE_S = 20  # docs/operations.md: what a stop takes beside PARLEY_DRAIN_S
BLANKS = {
    "PARLEY_PUBLIC_URL": "https://calls.example.com",
    "PARLEY_TWILIO_AUTH_TOKEN": "new,old",
    "PARLEY_TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef",
    "PARLEY_SESSION_SECRET": "s" * 64,
    "PARLEY_METRICS_TOKEN": "m" * 64,
    "PARLEY_ENGINE_TOKEN": "e" * 64,
}


def unit(name: str) -> dict[str, list[str]]:
    """Return a unit's assignments of all sections, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in (HERE / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def values(path: Path) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(path).items()}


@pytest.mark.parametrize("path", [ENV, ENGINE_ENV], ids=lambda path: path.name)
def test_the_examples_name_settings_that_exist(path: Path) -> None:
    named = {name.removeprefix(PREFIX).lower() for name in values(path) if name.startswith(PREFIX)}
    assert named <= set(Settings.model_fields)


def test_the_example_loads_once_its_blanks_are_filled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert {name for name, value in values(ENV).items() if not value} == set(BLANKS)
    for name, value in (values(ENV) | BLANKS).items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.origin == "https://calls.example.com"
    assert settings.auth_tokens == ("new", "old")
    assert settings.proxies == ("127.0.0.1",)
    assert not misspelt()


@pytest.mark.parametrize("path", [ENV, ENGINE_ENV], ids=lambda path: path.name)
def test_a_shell_and_systemd_read_the_same(path: Path) -> None:
    """`parley-as` has a shell read what systemd reads: no value may hold what one of them takes for its own."""
    command = ["sh", "-c", f"set -a; . {shlex.quote(str(path))}; exec env -0"]
    shell = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    seen = dict(each.split("=", 1) for each in shell.stdout.rstrip("\0").split("\0"))
    assert {name: seen[name] for name in values(path)} == values(path)
    assert not re.search(r"(?m)^\w+=.*[ \t]#", path.read_text()), "systemd takes a comment behind a value for the value"


def test_every_value_has_its_reason() -> None:
    for path in (ENV, ENGINE_ENV):
        for above, line in pairwise(path.read_text().splitlines()):
            assert "=" not in line or line.startswith("#") or above.startswith("#"), line


@pytest.mark.parametrize("name", ["parley.service", "parley-engine.service"])
def test_units_start_commands_and_options_that_exist(name: str) -> None:
    program, command, *options = shlex.split(unit(name)["ExecStart"][0])
    assert program.endswith("/bin/parley")
    found = typer.main.get_command(app).commands[command]  # pyright: ignore[reportAttributeAccessIssue]
    known = {option for parameter in found.params for option in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known
    variables = re.findall(r"\$\{(\w+)\}", " ".join(options))
    assert set(variables) <= set(values(ENGINE_ENV))


@pytest.mark.parametrize(
    ("name", "env", "setting"),
    [("parley.service", ENV, "PARLEY_DRAIN_S"), ("parley-engine.service", ENGINE_ENV, "PARLEY_ENGINE_DRAIN_S")],
)
def test_a_stop_waits_for_the_calls_and_tells_each_process_once(name: str, env: Path, setting: str) -> None:
    service = unit(name)
    drain_s = float(values(env)[setting])
    assert int(service["TimeoutStopSec"][0]) >= drain_s + LEAST_MORE_S
    assert service["KillMode"] == ["mixed"], "a worker told by systemd and by the supervisor ends its calls at once"
    assert service["KillSignal"] == ["SIGTERM"]


def test_the_service_may_write_where_it_keeps_things() -> None:
    service = unit("parley.service")
    assert f"/var/lib/{service['StateDirectory'][0]}" == values(ENV)["PARLEY_DATA_DIR"]
    assert service["User"] != unit("parley-engine.service")["User"]


def test_caddy_hides_paths_that_exist_and_reaches_the_port(tmp_path: Path) -> None:
    text = (HERE / "Caddyfile").read_text()
    hidden = re.search(r"@inner path (.*)", text)
    assert hidden
    application = create_app(load(data_dir=tmp_path, engine="loopback"))
    for path in hidden[1].split():
        assert path.endswith("/*") or answers(application, path), path
    assert {"/ready", "/metrics", "/peers/*"} <= set(hidden[1].split())
    assert f"reverse_proxy {{$UPSTREAM:{values(ENV)['PARLEY_HOST']}:{values(ENV)['PARLEY_PORT']}}}" in text
    for path in re.findall(r"/(?:twilio|browser)/\w+", text):
        assert answers(application, path), path


def answers(application: FastAPI, path: str) -> bool:
    """Whether the application itself, not the console behind it, has a route at the path."""
    scopes = [{"type": kind, "path": path, "method": "GET", "headers": []} for kind in ("http", "websocket")]
    routes = [route for route in application.routes if getattr(route, "name", "") != "console"]
    return any(route.matches(scope)[0] is Match.FULL for route in routes for scope in scopes)
