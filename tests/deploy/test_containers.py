"""What images are built from, and what Compose runs of them, fits the program; nothing is built here."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from dotenv import dotenv_values

from agent.app import create_app
from agent.cli import app
from agent.engines.loopback import create
from agent.engines.personaplex.server import ServerOptions
from agent.engines.personaplex.server import create_app as create_engine_app
from agent.settings import PREFIX, Settings, load, misspelt
from tests.deploy.test_single_host import BLANKS, LEAST_MORE_S, answers, values

ROOT = Path(__file__).parents[2]
HERE = ROOT / "deploy" / "containers"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((HERE / "compose.yaml").read_text())
ENV = HERE / "env.example"
FILLED = {
    "SITE": "calls.example.com",
    "POSTGRES_PASSWORD": "p" * 64,
    "PARLEY_ENGINE_URL": "",
    "HF_TOKEN": "",
    "COMPOSE_PROFILES": "",
} | {name: value for name, value in BLANKS.items() if name != "PARLEY_PUBLIC_URL"}
IMAGES = pytest.mark.parametrize("image", ["parley", "parley-engine"])

Stage = list[tuple[str, str]]


def stages() -> dict[str, Stage]:
    """Return the Dockerfile's stages by name: the instructions of each, with those of the stage it begins from."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", (HERE / "Dockerfile").read_text()))
    found: dict[str, Stage] = {}
    stage: Stage = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, name = rest.split(" AS ")
            found[name] = stage = [*found.get(base, [])]
        else:
            stage.append((word, rest.strip()))
    return found


def last(image: str, word: str) -> str:
    return [rest for each, rest in stages()[image] if each == word][-1]


def variables(image: str) -> dict[str, str]:
    return dict(pair for word, rest in stages()[image] if word == "ENV" for pair in re.findall(r"(\w+)=(\S+)", rest))


def command(*words: str) -> Any:
    """Return the command that `parley` runs for these words; raises KeyError where there is none."""
    found: Any = typer.main.get_command(app)
    for word in words:
        if word.startswith("-") or not hasattr(found, "commands"):
            break
        found = found.commands[word]
    return found


# The images


@IMAGES
def test_an_image_runs_as_nobody_by_number(image: str) -> None:
    user, group = last(image, "USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert f"--uid {user}" in " ".join(rest for word, rest in stages()[image] if word == "RUN")


@IMAGES
def test_no_shell_stands_between_signals_and_parley(image: str) -> None:
    assert yaml.safe_load(last(image, "ENTRYPOINT")) == ["tini", "--", "parley"]
    words = yaml.safe_load(last(image, "CMD"))
    options = {option for parameter in command(*words).params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_images_set_settings_that_exist_and_open_the_ports_that_are_listened_on() -> None:
    given = {name: value for name, value in variables("parley").items() if name.startswith(PREFIX)}
    assert {name.removeprefix(PREFIX).lower() for name in given} <= set(Settings.model_fields)
    assert given["PARLEY_DATA_DIR"] == last("parley", "WORKDIR")
    assert int(last("parley", "EXPOSE")) == Settings.model_fields["port"].default
    [port] = [parameter.default for parameter in command("engine").params if parameter.name == "port"]
    assert int(last("parley-engine", "EXPOSE")) == port


def test_images_bear_the_version_and_take_extras_that_exist() -> None:
    for image in ("parley", "parley-engine"):
        assert ("ARG", f"VERSION={PROJECT['project']['version']}") in stages()[image]
    [default] = [rest for word, rest in stages()["parley-packages"] if word == "ARG"]
    extras = set(re.findall(r"--extra (\w+)", " ".join(rest for _, rest in stages()["engine-packages"])))
    assert "gpu" in extras
    assert extras | set(default.partition("=")[2].strip('"').split()) <= set(
        PROJECT["project"]["optional-dependencies"]
    )


def test_versions_come_from_the_constraints() -> None:
    lines = [rest for stage in ("uv", "parley-packages", "engine-packages") for _, rest in stages()[stage]]
    installs = [part for line in lines for part in re.split(r"&&|;;", line) if re.search(r"\bpip install\b", part)]
    assert len(installs) > 3
    assert all("-c constraints.txt" in part for part in installs)
    assert all("--build-constraints constraints.txt" in rest for _, rest in stages()["code"] if "--prefix" in rest)


def test_the_images_get_what_they_are_built_from_and_nothing_else() -> None:
    first, *others = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert first == "*", "everything is left out but what is named"
    let_in = {line[1:] for line in others if line.startswith("!")}
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert let_in == {*packages, "pyproject.toml", "constraints.txt", "LICENSE", PROJECT["project"]["readme"]}
    assert all((ROOT / name).exists() for name in let_in)


# Compose


def service(name: str) -> dict[str, Any]:
    return COMPOSE["services"][name]


def filled(text: str) -> str:
    """Put the example's values, with its blanks filled, where Compose would: ${NAME}, ${NAME:-else}, ${NAME:?why}."""
    given = values(ENV) | FILLED

    def value(found: re.Match[str]) -> str:
        assert found["name"] in given or found["rest"].startswith(":-"), f"{found['name']} is not in {ENV.name}"
        return given.get(found["name"]) or found["rest"].removeprefix(":-")

    return re.sub(r"\$\{(?P<name>\w+)(?P<rest>[^}]*)\}", value, text)


def environment(name: str) -> dict[str, str]:
    """Return a service's variables, as Compose makes them of the example."""
    of_file = values(ENV) | FILLED if "env_file" in service(name) else {}
    return of_file | {key: filled(str(value)) for key, value in service(name)["environment"].items()}


def test_the_example_loads_once_its_blanks_are_filled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert {name for name, value in dotenv_values(ENV).items() if not value} == set(FILLED)
    given = variables("parley") | environment("parley")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load(data_dir=tmp_path)
    assert settings.origin == "https://calls.example.com"
    assert settings.database == f"postgresql+psycopg://parley:{'p' * 64}@db/parley"
    assert not misspelt()
    for name in ("parley", "engine"):
        ours = {key.removeprefix(PREFIX).lower() for key in environment(name) if key.startswith(PREFIX)}
        assert ours <= set(Settings.model_fields)


def test_caddys_network_is_the_one_that_is_believed() -> None:
    [network] = COMPOSE["networks"]["front"]["ipam"]["config"]
    assert filled(network["subnet"]) == environment("parley")["PARLEY_TRUSTED_PROXIES"]
    assert {name for name, each in COMPOSE["services"].items() if "front" in each["networks"]} == {"caddy", "parley"}


def test_caddy_is_told_what_its_file_asks_for() -> None:
    [caddyfile] = [each.split(":")[0] for each in service("caddy")["volumes"] if "Caddyfile" in each]
    asked = dict(re.findall(r"\{\$(\w+):([^}]*)\}", (HERE / caddyfile).read_text()))
    assert set(asked) == set(service("caddy")["environment"])
    assert service("caddy")["environment"]["UPSTREAM"] == f"parley:{Settings.model_fields['port'].default}"


def test_a_stop_leaves_time_for_the_calls() -> None:
    for name, setting in (("parley", "PARLEY_DRAIN_S"), ("engine", "PARLEY_ENGINE_DRAIN_S")):
        grace_s = float(service(name)["stop_grace_period"].removesuffix("s"))
        assert grace_s >= float(environment(name)[setting]) + LEAST_MORE_S


@IMAGES
def test_services_build_stages_and_write_to_volumes_where_their_image_writes(image: str) -> None:
    found = [each for each in COMPOSE["services"].values() if each.get("build", {}).get("target") == image]
    assert found
    for each in found:
        assert (HERE / each["build"]["context"] / each["build"]["dockerfile"]).samefile(HERE / "Dockerfile")
        assert filled(each["image"]) == f"{image}:{PROJECT['project']['version']}"
        assert each["read_only"]
        assert "/tmp" in each["tmpfs"]
        assert last(image, "WORKDIR") in {volume.split(":")[1] for volume in each["volumes"]}
        command(*each.get("command", ()))


def test_files_volumes_and_services_that_are_named_are_there() -> None:
    services = COMPOSE["services"]
    for each in services.values():
        assert set(each.get("depends_on", ())) <= set(services)
        for volume in each.get("volumes", ()):
            source = volume.split(":")[0]
            assert (HERE / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
    jobs = yaml.safe_load((HERE / "prometheus.yml").read_text())["scrape_configs"]
    asked = [job["static_configs"][0]["targets"][0].split(":")[0] for job in jobs if "static_configs" in job]
    asked += [name for job in jobs for each in job.get("dns_sd_configs", ()) for name in each["names"]]
    assert set(asked) == {"parley", "engine"} <= set(services)
    token = jobs[0]["authorization"]["credentials_file"]
    assert [token] == [f"/run/secrets/{name}" for name in services["prometheus"]["secrets"]]


def test_health_is_asked_of_routes_and_ports_that_exist(tmp_path: Path) -> None:
    applications = {
        "parley": create_app(load(data_dir=tmp_path, engine="loopback")),
        "engine": create_engine_app(create({}), list, ServerOptions()),
    }
    for name, application in applications.items():
        found = re.search(r"http://127.0.0.1:(\d+)(/\w+)", service(name)["healthcheck"]["test"][-1])
        assert found
        assert answers(application, found[2])  # pyright: ignore[reportArgumentType]
        assert found[1] == last({"engine": "parley-engine"}.get(name, name), "EXPOSE")
