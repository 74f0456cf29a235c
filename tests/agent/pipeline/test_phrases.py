"""A phrase is found however its text is cut, written and marked, and only as whole words."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pipeline.phrases import PhraseFinder

SENTENCE = "Sure, I\N{RIGHT SINGLE QUOTATION MARK}ll Connect you,  with our FRAUD-team. Please hold."


def found(pieces: list[str], *phrases: tuple[str, str]) -> list[str]:
    finder = PhraseFinder(phrases)
    return [name for piece in pieces if (name := finder.find(piece))]


@given(st.sets(st.integers(1, len(SENTENCE) - 1)))
def test_it_is_found_once_wherever_pieces_are_cut(cuts: set[int]) -> None:
    places = [0, *sorted(cuts), len(SENTENCE)]
    pieces = [SENTENCE[start:end] for start, end in pairwise(places)]
    assert found(pieces, ("fraud", "I'll connect you with our fraud team")) == ["fraud"]


@pytest.mark.parametrize("said", ["I will connect you with our fraud teams.", "disconnect you with our fraud team."])
def test_parts_of_words_are_no_match(said: str) -> None:
    assert found([said], ("fraud", "connect you with our fraud team")) == []


def test_a_phrase_at_the_end_of_the_text_waits_for_the_next_word_or_a_pause() -> None:
    finder = PhraseFinder([("a", "let me connect you")])
    assert finder.find(" let me connect you") == ""
    assert finder.pause() == "a"
    assert finder.pause() == ""


def test_the_rule_whose_phrase_was_said_is_named() -> None:
    rules = [("a", "let me connect you"), ("b", "putting you through"), ("b", "put you through")]
    assert found([" I'll put", " you", " thr", "ough", " now"], *rules) == ["b"]


def test_long_talk_is_not_kept() -> None:
    finder = PhraseFinder([("a", "let me connect you")])
    for _ in range(1_000):
        finder.find(" and so on and so on")
    assert len(finder._tail) < 50
    assert finder.find(" let me connect you.") == "a"
