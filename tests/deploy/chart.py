"""The Helm chart as its tests see it, and what of it follows from agent/settings.py and values.yaml.

`python -m tests.deploy.chart` writes that part anew: settings in values.schema.json, the table of values in README.md.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from agent.settings import PREFIX, Settings
from personas.admin.console import LEAST_SECRET

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "parley"
SCHEMA, VALUES, README = CHART / "values.schema.json", CHART / "values.yaml", CHART / "README.md"
HELM = shutil.which("helm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or ""
HEAD = "| value | default | what it is |\n|---|---|---|\n"

OF_THE_CHART = {"data_dir", "recordings_dir", "host", "port", "public_url", "peer_address", "score_calls"}
"""Settings that follow from other values, or from where the image keeps things."""
SECRETS = {name for name, field in Settings.model_fields.items() if field.annotation is SecretStr} | {"database_url"}
OF_ENGINES = {name for name in Settings.model_fields if name.startswith("engine_")}
OF_ENGINES |= {"log_level", "log_format", "otlp_endpoint"}

OF_LIBRARIES = "^(OTEL|SSL_CERT)_|^(HTTPS?|NO)_PROXY$"
"""Variables that are no settings of ours, but of libraries that Parley uses."""

Json = dict[str, Any]


class Refused(Exception):
    """What Helm said."""


def render(*values: Json, release: str = "parley") -> list[Json]:
    """Return the objects that an install with these values makes; later values win."""
    command = [HELM, "template", release, str(CHART), "--values", "-"]
    merged = {key: part for each in values for key, part in each.items()}
    done = subprocess.run(command, input=yaml.safe_dump(merged), capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def settings_schema() -> dict[str, Json]:
    """Return the definitions of values.schema.json that come from agent/settings.py: variables and their kinds."""
    known = Settings.model_json_schema()["properties"]
    plain = {name: field for name, field in known.items() if name not in SECRETS | OF_THE_CHART}
    engines = {name: field for name, field in plain.items() if name in OF_ENGINES - {"engine_url"}}
    secrets: Json = {PREFIX + name.upper(): {"type": "string"} for name in sorted(SECRETS)}
    secrets["PARLEY_SESSION_SECRET"]["minLength"] = LEAST_SECRET
    return {
        "settings": _variables(plain, ["PARLEY_DRAIN_S"]),
        "engineSettings": _variables(engines, ["PARLEY_ENGINE_DRAIN_S"]),
        "secrets": _closed(secrets | {"HF_TOKEN": {"type": "string"}}),
    }


def _variables(fields: dict[str, Json], needed: list[str]) -> Json:
    kept = ("type", "enum", "minimum", "maximum", "exclusiveMinimum")
    shown = {PREFIX + name.upper(): {key: field[key] for key in kept if key in field} for name, field in fields.items()}
    return _closed(shown) | {"required": needed, "patternProperties": {OF_LIBRARIES: {"type": ["string", "number"]}}}


def _closed(properties: Json) -> Json:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def table() -> str:
    """Return README.md's end: each value of values.yaml by its path, its default, and the comment above it."""
    rows, path, said = [], [], []
    for line in VALUES.read_text().splitlines()[1:]:
        found = re.fullmatch(r"( *)(# (?P<said>.*)|(?P<key>[\w-]+):(?P<value>.*)|.*)", line)
        assert found
        if found["said"]:
            said.append(found["said"])
        elif found["key"]:
            path[len(found[1]) // 2 :] = [found["key"]]
            rows += [(".".join(path), found["value"].strip(), " ".join(said))] if found["value"] or said else []
            said = []
        elif not line:
            said = []
    return HEAD + "".join(f"| `{name}` | {f'`{value}`' if value else ''} | {what} |\n" for name, value, what in rows)


def main() -> None:
    schema = json.loads(SCHEMA.read_text())
    schema["definitions"] |= settings_schema()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")
    README.write_text(README.read_text().partition(HEAD)[0] + table())


if __name__ == "__main__":
    main()
