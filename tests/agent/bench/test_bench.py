"""What the benchmark counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.bench.answers import is_right, plain_words, word_errors
from agent.bench.callers import BenchError, Callers
from agent.bench.floor import Burst, floor_figures
from agent.role import role_card
from personas.library import load_library
from personas.persona import QuestionKind

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=8)


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [("a b c", "a b c", 0), ("a b c", "a c", 1), ("a c", "a b c", 1), ("a b", "b a", 2), ("a b", "", 2), ("", "a", 1)],
)
def test_word_errors_are_counted(said: str, heard: str, errors: int) -> None:
    assert word_errors(said.split(), heard.split()) == errors


@given(WORDS, WORDS, WORDS)
def test_word_errors_are_a_distance(a: list[str], b: list[str], c: list[str]) -> None:
    assert (word_errors(a, b) == 0) == (a == b)
    assert word_errors(a, b) == word_errors(b, a)
    assert word_errors(a, c) <= word_errors(a, b) + word_errors(b, c)


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert plain_words("Pick-up, at NOON? It's free.") == ["pick", "up", "at", "noon", "it's", "free"]


def test_a_right_answer_states_all_its_facts_and_unknown_none() -> None:
    card = load_library()[0]
    role, fact = role_card(card), card.facts[0].id
    asks = next(q for q in card.test_questions if q.kind is QuestionKind.PROPER_NOUN)
    assert is_right(role, asks, (*asks.facts, "help"))
    assert not is_right(role, asks, ("unknown",))
    unknown = next(q for q in card.test_questions if q.kind is QuestionKind.UNSPECIFIED)
    assert is_right(role, unknown, ("unknown",))
    assert not is_right(role, unknown, ("unknown", fact))
    assert not is_right(role, unknown, ())


def test_a_question_on_the_phone_has_its_noise() -> None:
    callers = Callers(("en-us",))
    clean, noisy = (callers.phone("Where are you located?", "en-us", snr) for snr in (None, 10.0))
    assert len(clean) == len(noisy)
    assert abs(clean[:2_000]).max() < 20
    assert abs(noisy[:2_000]).max() > 500


def test_a_voice_that_is_not_there_is_named() -> None:
    with pytest.raises(BenchError, match="no voice 'nobody'"):
        Callers(("nobody",))


def test_yielding_later_than_a_second_is_not_put_down_to_the_backchannel() -> None:
    bursts = [Burst("x", "v", None, True, stop) for stop in (100.0, 200.0, 400.0, None)]
    bursts += [Burst("x", "v", None, False, stop) for stop in (None, 1_500.0, 300.0, None)]
    figures = floor_figures(bursts)
    assert figures["stop_p50_ms"] == 200
    assert figures["stopped_within_300_ms_pct"] == 50
    assert figures["stopped_pct"] == 75
    assert figures["backchannels_yielded_to_pct"] == 25
