import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engines.cascade.normalise import speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It costs $49.99.", "It costs forty nine dollars and ninety nine cents."),
        ("$1", "one dollar"),
        ("$0.75 each", "seventy five cents each"),
        ("$0", "zero dollars"),
        ("$1,250 a year", "one thousand two hundred fifty dollars a year"),
        ("$2.5 million", "two point five million dollars"),
        ("€3.01", "three euros and one cent"),
        ("from 7:30 a.m. to 5 p.m. We close", "from seven thirty a m to five p m. We close"),
        ("8 a.m.-8 p.m.", "eight a m to eight p m."),
        ("at 9:05 pm", "at nine oh five p m"),
        ("at 8:00", "at eight o'clock"),
        ("9am", "nine a m"),
        ("Mon-Fri and Sat.", "Monday to Friday and Saturday."),
        ("on Mar. 3rd, 2025", "on March third, twenty twenty five"),
        ("December 24", "December twenty fourth"),
        ("by 2025-03-14", "by March fourteenth, twenty twenty five"),
        ("in 2005", "in two thousand five"),
        ("call 555-0119, day or night", "call five five five, zero one one nine, day or night"),
        ("(555) 123-4567", "five five five, one two three, four five six seven"),
        ("+15550100", "plus one five five five zero one zero zero"),
        ("Your code is HD-2210.", "Your code is H D, two two one zero."),
        ("password BLUE7842", "password B L U E, seven eight four two"),
        ("17.9 percent or 15%", "seventeen point nine percent or fifteen percent"),
        ("desk2@swift-post.example.com", "desk two at swift dash post dot example dot com"),
        ("3-5 days", "three to five days"),
        ("1 lb, 20 kg", "one pound, twenty kilograms"),
        ("1850 Harbor Street", "eighteen fifty Harbor Street"),
        ("St. Mary's, Dr. Lee", "Saint Mary's, Doctor Lee"),
        ("the 21st", "the twenty first"),
        ("1,000,000 customers", "one million customers"),
        ("FL 33101", "FL three three one zero one"),
        ("this & that", "this and that"),
    ],
)
def test_written_forms_become_words(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize("plain", ["I may go.", "He sat. Then he left.", "The sun is out.", "You're welcome, John."])
def test_plain_words_stay_as_they_are(plain: str) -> None:
    assert speakable(plain) == plain


@given(st.text(max_size=80))
def test_any_text_is_spoken_without_ascii_digits_or_line_breaks(text: str) -> None:
    assert not re.search(r"[0-9\n]", speakable(text))


@given(st.from_regex(r"[$]?[0-9]{1,9}([.,:-][0-9]{1,4}){0,3}( ?(a\.m\.|pm|%|kg|st))?", fullmatch=True))
def test_any_number_is_spoken_as_words(text: str) -> None:
    said = speakable(text)
    assert re.search(r"[a-z]{2}", said)
    assert not re.search(r"\d", said)
