"""Figures as they are heard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personas.spoken import spoken_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$120", "one hundred twenty dollars"),
        ("$1,250", "one thousand two hundred fifty dollars"),
        ("$1", "one dollar"),
        ("$9.80", "nine dollars and eighty cents"),
        ("$27.00", "twenty seven dollars"),
        ("7:30 a.m.", "seven thirty am"),
        ("3:00 p.m.", "three pm"),
        ("9:05", "nine oh five"),
        ("555-0119", "five five five zero one one nine"),
        ("17.9 percent", "seventeen point nine percent"),
        ("5%", "five percent"),
        ("the 15th", "the fifteenth"),
        ("check-in, please!", "check in please"),
        ("You're late", "you're late"),
    ],
)
def test_figures_are_written_out(text: str, words: str) -> None:
    assert spoken_words(text) == words.split()


@given(st.text(max_size=60))
def test_any_text_gives_words(text: str) -> None:
    words = spoken_words(text)
    assert words == spoken_words(" ".join(words))
