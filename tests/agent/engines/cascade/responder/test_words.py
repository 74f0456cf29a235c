import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engines.cascade.responder.surface import clauses, gives_numbers, name_given, segments, without_openers
from agent.engines.cascade.responder.words import Vocabulary, sound, stem, stems


@pytest.mark.parametrize(
    ("one", "other"), [("delivery", "deliveries"), ("charge", "charged"), ("bin", "bins"), ("collect", "collecting")]
)
def test_forms_of_a_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(
    ("said", "heard"), [("bin", "pin"), ("night", "knight"), ("phone", "fawn"), ("fees", "vase"), ("tune", "toon")]
)
def test_words_that_telephones_confuse_share_a_sound(said: str, heard: str) -> None:
    assert sound(said) == sound(heard)


def test_a_word_the_card_lacks_is_found_by_its_sound_and_less_surely_by_most_of_it() -> None:
    vocabulary = Vocabulary.of([stems("prescription refill"), stems("pharmacist")])
    assert vocabulary.readings("refil")["refill"] > 0.5
    assert vocabulary.readings("perscription")["prescription"] > 0.5
    assert 0.4 < vocabulary.readings("farmacis")["pharmacist"] < vocabulary.readings("farmacist")["pharmacist"]
    assert set(vocabulary.readings("umbrella")) == {"umbrella"}


@given(st.text(max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    for word in stems(text):
        sound(word)
    segments(without_openers(text))
    clauses(text)
    gives_numbers(text)
    name_given(text, frozenset())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("my bike broke what is the price", ["my bike broke", "what is the price"]),
        ("i want to know how long it takes", ["i want to know", "how long it takes"]),
        ("how much is a tune up", []),
        ("can you tell me what time you open", []),
    ],
)
def test_a_long_utterance_is_also_heard_in_parts(text: str, parts: list[str]) -> None:
    assert segments(text) == parts


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my name is tom baker", "Tom Baker"),
        ("this is ann speaking", "Ann"),
        ("this is about my order", ""),
        ("i'm calling about a bike", ""),
        ("my name is bellwether", ""),
    ],
)
def test_only_names_are_taken_for_names(text: str, name: str) -> None:
    assert name_given(text, frozenset({"bellwether"})) == name
