"""What the high band's network is trained with: labels, gradients, speech, and a few steps of all of it."""

from itertools import islice

import numpy as np
import pytest

from agent.engines.cascade.recogniser.acoustics import PHONES, PhoneModel
from agent.engines.cascade.recogniser.fitting import Plan, Trainer
from agent.engines.cascade.recogniser.highband import HighBand
from agent.engines.cascade.recogniser.train_highband import Phones, Speakers, sentences, utterances


@pytest.fixture(scope="module")
def phones() -> PhoneModel:
    return PhoneModel()


def test_gradient_is_that_of_the_loss(phones: PhoneModel) -> None:
    rng = np.random.default_rng(0)
    cepstra, labels = (rng.normal(size=(12, 13)) * 8).astype(np.float32), rng.integers(0, len(PHONES), 12)
    _, gradient = phones.loss(cepstra, labels)
    for frame, order in ((0, 0), (5, 3), (11, 12)):
        more, less = cepstra.copy(), cepstra.copy()
        more[frame, order] += 0.02
        less[frame, order] -= 0.02
        slope = (phones.loss(more, labels)[0] - phones.loss(less, labels)[0]) / 0.04
        assert gradient[frame, order] == pytest.approx(slope, abs=2e-4, rel=0.02)


def test_alignment_has_the_phones_of_the_text_in_order() -> None:
    rng = np.random.default_rng(3)
    (utterance,) = utterances(1, rng)
    heard = [PHONES[phone] for phone in utterance.phones]
    runs = [phone for at, phone in enumerate(heard) if at == 0 or phone != heard[at - 1]]
    assert len(utterance.phones) == len(utterance.wide)
    assert runs[0] == "SIL"
    assert heard.count("SIL") < 0.7 * len(heard)
    assert len([phone for phone in runs if phone != "SIL"]) > 8


def test_alignment_refuses_audio_too_short_for_its_text() -> None:
    assert len(Phones().align("what is the price of this", np.zeros((20, 13), np.float32))) == 0


def test_equal_seeds_speak_equally() -> None:
    lines = [list(islice(sentences(np.random.default_rng(5)), 4)) for _ in range(2)]
    assert lines[0] == lines[1]
    one, two = (Speakers(np.random.default_rng(5)).speak("hello there") for _ in range(2))
    assert abs(len(one) - len(two)) < 200


def test_a_few_steps_learn() -> None:
    rng, said = np.random.default_rng(1), []
    plan = Plan(reach=2, hidden=16, epochs=3, steps=10)
    network = Trainer(list(utterances(6, rng)), plan, rng, said.append).run()
    left = [float(line.split()[2]) for line in said[:3]]
    assert left[2] < left[0]
    assert np.isfinite(network.cepstra(np.zeros(4_000, np.int16))).all()


def test_a_network_goes_on_where_it_was_left() -> None:
    rng = np.random.default_rng(1)
    speech, begun, said = list(utterances(3, rng)), HighBand.load(), []
    audio = rng.integers(-3_000, 3_000, 4_000).astype(np.int16)
    before = begun.cepstra(audio)
    same = Trainer(speech, Plan(epochs=0, steps=0), rng, said.append, begun).run()
    assert same.cepstra(audio) == pytest.approx(before, abs=0.01)
    other = Trainer(speech, Plan(epochs=0, steps=3), rng, said.append, HighBand.load()).run()
    assert 1e-5 < np.abs(other.cepstra(audio) - before).mean() < 20
