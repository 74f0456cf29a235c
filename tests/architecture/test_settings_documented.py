"""Every setting is documented, with its default and its sentence, and nothing else is."""

import re
from pathlib import Path

from agent.commands.settings import as_markdown
from agent.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_the_page_holds_every_setting_as_it_is() -> None:
    assert PAGE.read_text() == as_markdown(), "docs/settings.md is stale: run `parley settings --markdown > docs/settings.md`"


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        if re.search(r"_(s|ms|bytes)$", name) is None:
            continue
        assert re.search(r"second|byte", field.description, re.IGNORECASE), f"{name}: the sentence names no unit"


def test_only_the_settings_read_the_environment() -> None:
    root = PAGE.parents[1]
    readers = []
    for package in ("agent", "telephony", "personas", "crm"):
        for path in (root / package).rglob("*.py"):
            if path.name != "settings.py" and re.search(r"os\.(environ\.get|environ\[\"PARLEY|getenv)", path.read_text()):
                readers.append(str(path.relative_to(root)))
    assert not readers
