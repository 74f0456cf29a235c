"""What differs between two cards, and the small checks on voices and numbers."""

import pytest

from personas.changes import Change, changes
from personas.errors import BadNumber, CardError
from personas.library import load_library
from personas.numbers import check_number
from personas.voices import VOICES, check_voice

CARD = load_library()[0]


def test_equal_cards_have_no_changes() -> None:
    assert changes(CARD, CARD.model_copy()) == []


def test_changes_name_the_part_by_its_id() -> None:
    fact = CARD.facts[1].model_copy(update={"value": "$130", "keywords": ("clean",)})
    new = CARD.model_copy(update={"voice": "NATF1", "facts": (CARD.facts[2], fact, *CARD.facts[3:])})
    found = {change.field: change for change in changes(CARD, new)}
    assert found.pop("voice") == Change("voice", "NATF2", "NATF1")
    assert found.pop("facts.cleaning_price.value") == Change("facts.cleaning_price.value", "$120", "$130")
    assert found.pop("facts.cleaning_price.keywords").new == ("clean",)
    assert set(found) == {
        f"facts.dentist.{name}" for name in ("id", "topic", "kind", "value", "say", "questions", "keywords")
    }
    assert all(change.new is None for change in found.values())


def test_the_published_voices_are_eighteen() -> None:
    assert len(VOICES) == 18
    assert VOICES["VARF4"].gender == "female"
    assert VOICES["NATM0"].kind == "natural"
    check_voice("VARM4")
    with pytest.raises(CardError, match=r"PARLEY_OWN_VOICES; try NATM2\.$"):
        check_voice("natm2")


def test_voices_of_ones_own_are_known_by_name() -> None:
    check_voice("clara", ("tom", "clara"))
    with pytest.raises(CardError, match=r"no voice 'clare'.*try clara\.$"):
        check_voice("clare", ("tom", "clara"))


@pytest.mark.parametrize("number", ["+15550100", "+1 555 0100", "+1 (555) 01-00", "+442071838750"])
def test_numbers_people_write_are_read(number: str) -> None:
    assert check_number(number).startswith("+")
    assert check_number(number)[1:].isdigit()


@pytest.mark.parametrize(
    "number", ["", "5550100", "+0555010000", "+155", "+1555010012345678", "+1555o100", "+1555\u0661100"]
)
def test_what_is_no_e164_number_is_refused(number: str) -> None:
    with pytest.raises(BadNumber, match=r"e\.g\. \+15550100"):
        check_number(number)
