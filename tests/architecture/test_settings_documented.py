"""Every setting is documented, with its default and its sentence, and nothing else is."""

import re
from pathlib import Path

from agent.commands.settings import as_markdown
from agent.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "settings.md"


def test_the_page_holds_every_setting_as_it_is() -> None:
    stale = "docs/settings.md is stale: run `parley settings --markdown > docs/settings.md`"
    assert PAGE.read_text() == as_markdown(), stale


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        if re.search(r"_(s|ms|bytes)$", name) is None:
            continue
        assert re.search(r"second|byte", field.description, re.IGNORECASE), f"{name}: the sentence names no unit"


def test_only_the_settings_read_the_environment() -> None:
    reading = re.compile(r"os\.(environ\.get|environ\[\"PARLEY|getenv)")
    paths = [path for package in ("agent", "telephony", "personas", "crm") for path in (ROOT / package).rglob("*.py")]
    assert not [path for path in paths if path.name != "settings.py" and reading.search(path.read_text())]
