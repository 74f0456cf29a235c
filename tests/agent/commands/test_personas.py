"""`parley db`, `parley personas` and `parley numbers`, as people type them, on a SQLite file."""

import json
from pathlib import Path

import pytest

from agent.settings import settings
from personas.db import DatabaseError
from personas.errors import BadNumber, BadNumberSetting, CardError, PersonaArchived, PersonaInUse, UnknownPersona
from personas.library import FOLDER
from tests.agent.commands.conftest import Parley


def test_a_new_database_is_checked_and_made(parley: Parley) -> None:
    with pytest.raises(DatabaseError, match="run `parley db upgrade`"):
        parley("db", "check")
    assert "from empty to revision" in parley("db", "upgrade").stdout
    assert "up to date" in parley("db", "upgrade").stdout
    assert "up to date" in parley("db", "check").stdout


def test_the_first_command_makes_a_sqlite_database(parley: Parley) -> None:
    assert "no personas yet" in parley("personas", "list").stderr
    assert "up to date" in parley("db", "check").stdout


def test_the_library_is_imported_once_and_listed(parley: Parley) -> None:
    parley("db", "upgrade")
    first = json.loads(parley("personas", "import", "--json").stdout)
    assert {each["outcome"] for each in first} == {"new"}
    again = json.loads(parley("personas", "import", "--json").stdout)
    assert [(each["outcome"], each["version"]) for each in again] == [("unchanged", 1)] * 10
    parley("numbers", "set", "+1 555 0100", "brightwater-dental")
    listed = json.loads(parley("personas", "list", "--json").stdout)
    assert (listed[0]["persona"], listed[0]["published"], listed[0]["numbers"]) == (
        "brightwater-dental",
        1,
        ["+15550100"],
    )
    (number,) = json.loads(parley("numbers", "list", "--json").stdout)
    assert (number["number"], number["persona"]) == ("+15550100", "brightwater-dental")
    assert (number["human_number"], number["on_full"], number["hours"]) == ("", "busy", "")
    assert "northwind-baggage" in parley("personas", "list").stdout
    parley("numbers", "clear", "+15550100")
    assert json.loads(parley("numbers", "list", "--json").stdout) == []


def test_a_number_is_set_step_by_step(parley: Parley) -> None:
    parley("db", "upgrade")
    parley("personas", "import")
    parley("numbers", "set", "+15550100", "brightwater-dental", "--human", "+1 555 0111", "--on-full", "wait")
    hours = ("--hours", "Mon-Fri 08:00-20:00", "--timezone", "Europe/Berlin", "--out-of-hours", "voicemail")
    parley("numbers", "set", "+15550100", "brightwater-dental", *hours, "--wait-limit", "60", "--queue", "sales")
    (number,) = json.loads(parley("numbers", "list", "--json").stdout)
    assert number == {
        "number": "+15550100",
        "persona": "brightwater-dental",
        "human_number": "+15550111",
        "on_full": "wait",
        "wait_limit_s": 60,
        "hours": "Mon-Fri 08:00-20:00",
        "timezone": "Europe/Berlin",
        "out_of_hours": "voicemail",
        "queue_name": "sales",
    }
    assert "wait 60 s" in parley("numbers", "list").stdout
    parley("numbers", "set", "+15550100", "brightwater-dental", "--human", "")
    assert json.loads(parley("numbers", "list", "--json").stdout)[0]["human_number"] == ""


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--on-full", "later"), "busy, wait, human"),
        (("--on-full", "human"), "--human"),
        (("--human", "+15550100"), "circle"),
        (("--wait-limit", "1"), "5 to 600"),
        (("--hours", "Mon-Fri 8-20"), "Mon-Fri 08:00-20:00"),
        (("--hours", "Fri-Mon 08:00-20:00"), "within one day"),
        (("--hours", "Mon 08:00-20:00", "--timezone", "Berlin"), "IANA time zone"),
        (("--queue", "a/b"), "queue's name"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(parley: Parley, options: tuple[str, ...], remedy: str) -> None:
    parley("db", "upgrade")
    parley("personas", "import")
    timezone = () if "--timezone" in options else ("--timezone", "UTC")
    with pytest.raises((BadNumberSetting, BadNumber), match=remedy):
        parley("numbers", "set", "+15550100", "brightwater-dental", *options, *timezone)
    with pytest.raises(UnknownPersona, match="nobody-there"):
        parley("numbers", "set", "+15550100", "brightwater-dental", "--out-of-hours", "nobody-there")


def test_one_bad_file_imports_nothing(parley: Parley, tmp_path: Path) -> None:
    parley("db", "upgrade")
    bad = tmp_path / "bad.yaml"
    bad.write_text((FOLDER / "saffron-table.yaml").read_text().replace("kind: amount", "kind: price", 1))
    with pytest.raises(CardError, match=r"bad\.yaml: facts\[5\] \(menu_price\)\.kind: must be one of"):
        parley("personas", "import", str(FOLDER / "brightwater-dental.yaml"), str(bad))
    assert json.loads(parley("personas", "list", "--json").stdout) == []


def test_a_card_may_ask_for_a_voice_of_ones_own(
    parley: Parley, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text((FOLDER / "saffron-table.yaml").read_text().replace("\nvoice: ", "\nvoice: clara # "))
    with pytest.raises(CardError, match=r"own\.yaml: voice: there is no voice 'clara'.*PARLEY_OWN_VOICES"):
        parley("personas", "import", str(own))
    monkeypatch.setenv("PARLEY_OWN_VOICES", "tom, clara")
    settings.cache_clear()
    parley("personas", "import", str(own))
    assert "voice clara" in parley("personas", "show", "saffron-table").stdout


def test_a_persona_is_shown_with_its_role_prompt(parley: Parley) -> None:
    parley("db", "upgrade")
    parley("personas", "import", str(FOLDER / "saffron-table.yaml"))
    assert "You work for The Saffron Table which is" in parley("personas", "show", "saffron-table").stdout
    shown = json.loads(parley("personas", "show", "saffron-table", "--version", "1", "--json").stdout)
    assert shown["card"]["agent"]["name"] == "Leila Haddad"
    with pytest.raises(UnknownPersona, match="did you mean 'saffron-table'"):
        parley("personas", "show", "safron-table")


def test_wrong_numbers_and_slugs_are_refused(parley: Parley) -> None:
    parley("db", "upgrade")
    parley("personas", "import")
    with pytest.raises(UnknownPersona, match="did you mean 'juniper-pharmacy'"):
        parley("numbers", "set", "+15550105", "juniper-farmacy")
    with pytest.raises(BadNumber, match="country code"):
        parley("numbers", "set", "15550105", "juniper-pharmacy")


def test_lint_passes_the_library_and_names_what_is_unfit(parley: Parley, tmp_path: Path) -> None:
    assert "10 cards checked, 0 findings." in parley("personas", "lint").stdout
    bad = tmp_path / "bad.yaml"
    bad.write_text((FOLDER / "saffron-table.yaml").read_text().replace("is $19 and", "is $91 and"))
    result = parley("personas", "lint", str(bad), code=1)
    assert "saffron-table: lunch_price.say: it must hold the value '$19'" in result.stdout


def test_a_persona_is_archived_and_restored(parley: Parley) -> None:
    parley("personas", "import")
    assert "parley personas restore copperfield-bank" in parley("personas", "archive", "copperfield-bank").stdout
    assert "copperfield-bank" not in parley("personas", "list").stdout
    listed = json.loads(parley("personas", "list", "--archived", "--json").stdout)
    assert [each["persona"] for each in listed if each["archived"]] == ["copperfield-bank"]
    again = json.loads(parley("personas", "import", "--json").stdout)
    assert {each["persona"] for each in again if each["outcome"] == "archived"} == {"copperfield-bank"}
    with pytest.raises(PersonaArchived):
        parley("numbers", "set", "+15550100", "copperfield-bank")
    parley("personas", "restore", "copperfield-bank")
    parley("numbers", "set", "+15550100", "copperfield-bank")
    with pytest.raises(PersonaInUse):
        parley("personas", "archive", "copperfield-bank")
