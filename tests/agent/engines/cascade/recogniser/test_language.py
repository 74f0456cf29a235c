"""The language model of a card: a probability distribution that ARPA text keeps, and words that can be said."""

from pathlib import Path

import pocketsphinx
import pytest

from agent.duplex import RoleCard
from agent.engines.cascade.recogniser.corpus import Line, card_lines
from agent.engines.cascade.recogniser.language import END, START, LanguageModel
from agent.engines.cascade.recogniser.pronounce import dictionary, guess
from agent.engines.cascade.recogniser.spoken import spoken_words


@pytest.fixture(scope="module")
def language(parcels: RoleCard) -> LanguageModel:
    return LanguageModel(card_lines(parcels))


@pytest.mark.parametrize(
    "history",
    [(), (START,), ("the",), ("where", "is"), (START, "where"), ("zorblaxton",), ("no", "zorblaxton"), ("?",)],
)
def test_probabilities_of_all_words_add_up_to_one(language: LanguageModel, history: tuple[str, ...]) -> None:
    words = [*language.vocabulary, END]
    assert sum(language.probability(word, history) for word in words) == pytest.approx(1.0, abs=1e-9)


def test_arpa_says_the_same(language: LanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "card.lm"
    path.write_text(language.arpa(), encoding="utf-8")
    logs = pocketsphinx.LogMath()
    model = pocketsphinx.NGramModel(pocketsphinx.Config(lw=1.0, wip=1.0, uw=1.0), logs, str(path))
    for words in (
        ("parcel",),
        ("is", "where"),
        ("my", "is", "where"),
        ("parcel", "my", "is"),
        ("van", "banana"),
        ("the",),
    ):
        ours = language.probability(words[0], words[:0:-1])
        assert logs.exp(model.prob(list(words))) == pytest.approx(ours, rel=0.05)


def test_words_of_the_card_are_likelier_than_others(language: LanguageModel, yoga: RoleCard) -> None:
    other = LanguageModel(card_lines(yoga))
    assert language.probability("parcel", ("where", "is", "my")) > 20 * other.probability("parcel", ("is", "my"))
    assert "zorblaxton" in language.vocabulary
    assert "zorblaxton" not in other.vocabulary


def test_a_model_of_one_sentence() -> None:
    model = LanguageModel([Line(("open", "sesame"), 1.0)])
    assert model.probability("sesame", (START, "open")) > 0.2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$7.50", "seven dollars and fifty cents"),
        ("9:30 pm", "nine thirty p.m."),
        ("Am I? 9 am", "am i nine a.m."),
        ("call 555 0142", "call five five five zero one four two"),
        ("BX-44, the 3rd", "b x four four the third"),
        ("Dr. Zoë’s x-ray, 12%", "doctor zoe's x ray twelve percent"),
        ("£1", "one pound"),
        ("in 1998", "in nineteen ninety eight"),
        ("", ""),
    ],
)
def test_written_text_as_spoken(text: str, words: str) -> None:
    assert " ".join(spoken_words(text)) == words


def test_every_word_has_a_pronunciation_of_known_phones(language: LanguageModel, model: Path) -> None:
    lines = dictionary(language.vocabulary, model / "cmudict-en-us.dict").splitlines()
    said = {line.split(" ", 1)[0].partition("(")[0] for line in lines}
    assert said == set(language.vocabulary)
    base = (model / "cmudict-en-us.dict").read_text(encoding="utf-8")
    phones = {phone for line in base.splitlines()[::50] for phone in line.split()[1:]}
    assert {phone for line in lines for phone in line.split()[1:]} <= phones


def test_unknown_words_sound_as_espeak_says() -> None:
    assert guess("zorblax")[0] == "Z AO R B L AE K S"
    assert guess("falkenberg")[0].startswith("F AO L K")
    assert len(guess("marseille")) >= 1
