"""Role cards in YAML: what can be wrong with a file is said in one sentence, with file, field and remedy."""

from pathlib import Path

import pytest

from personas.card_files import load_card, load_cards
from personas.errors import CardError
from personas.library import FOLDER

GOOD = (FOLDER / "saffron-table.yaml").read_text()


def test_figures_and_words_of_yaml_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(
        GOOD.replace("value: 14 guests", "value: 7:30").replace("title: Restaurant reservations", "title: no")
    )
    card = load_card(path)
    assert card.title == "no"
    assert {fact.id: fact.value for fact in card.facts}["largest_table"] == "7:30"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slug: saffron-table", "slug: Saffron Table", "slug: use lower-case letters, digits and hyphens only."),
        ("    kind: name\n", "    kind: person\n", "facts[1] (chef).kind: must be one of 'name', 'amount'"),
        ("    topic: the chef\n", "", "facts[1] (chef).topic: add this field."),
        ("    topic: the chef\n", "    topik: the chef\n", "(and 1 more)."),
        ("scenario:", "scenery: x\nscenario:", "scenery: remove this field or mend its spelling."),
        ("greeting: Thank you", "greeting: [Thank you]\nx: T", "greeting: write text here"),
        ("facts: [chef]", "facts: chef", "test_questions[1] (Q0).facts: write a list here, a line with '- ' each."),
        ("facts: [chef]", "facts: [cook]", "card: test question Q0 names no fact or rule of this card: {'cook'}."),
        ("id: corkage", "id: chef", "card: ids must be unique in a card; used twice: chef."),
        ("voice: NATF1", "voice: NATF7", "voice: there is no voice 'NATF7'; published are"),
        ("voice: NATF1", "slug: again", "line 9: the field 'slug' is no name or stands twice; keep one."),
        ("voice: NATF1", "voice: NATF1: x", "put text with : or # in quotes"),
        ("voice: NATF1", "voice: *gone", "line "),
        (GOOD, "", "this is no role card"),
        (GOOD, "- a\n- b\n", "this is no role card"),
        (GOOD, "? [a, b]\n: c\n", "line 1"),
        (GOOD, "[" * 5_000, "card.yaml"),
        (GOOD, "x" * 1_000_001, "larger than 1 MB"),
    ],
)
def test_a_bad_card_is_named_with_field_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = tmp_path / "card.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(CardError) as caught:
        load_card(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text
    assert text.endswith(".")


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"none\.yaml: the file can't be read \(No such file"):
        load_card(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("slug: caf\xe9".encode("latin-1"))
    with pytest.raises(CardError, match="not UTF-8"):
        load_card(tmp_path / "latin.yaml")
    with pytest.raises(CardError, match="can't be read"):
        load_card(tmp_path)


def test_two_files_with_one_slug_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD)
    with pytest.raises(CardError, match=r"b\.yaml: slug: 'saffron-table' is taken by .*a\.yaml"):
        load_cards([tmp_path / "a.yaml", tmp_path / "b.yaml"])
