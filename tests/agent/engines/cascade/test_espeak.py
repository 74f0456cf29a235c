"""eSpeak's binding: audio, word times, phonemes, one library for many threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from agent.engines.cascade.espeak import Espeak, EspeakError


def test_words_are_timed_in_order_within_the_audio() -> None:
    text = "Your parcel arrives at the café on Monday."
    spoken = Espeak().synthesise(text)
    assert [text[word.offset : word.offset + word.length].rstrip(".") for word in spoken.words] == text[:-1].split()
    starts = [word.start_ms for word in spoken.words]
    assert starts == sorted(starts)
    assert starts[-1] < 1000 * len(spoken.samples) / spoken.sample_hz
    assert np.abs(spoken.samples).max() > 3_000


def test_rate_and_pitch_change_the_audio() -> None:
    espeak = Espeak()
    slow, fast = (espeak.synthesise("We open at nine.", rate_wpm=rate) for rate in (120, 240))
    assert len(slow.samples) > 1.4 * len(fast.samples)
    low, high = (espeak.synthesise("We open at nine.", pitch=pitch) for pitch in (10, 90))
    assert not np.array_equal(low.samples, high.samples)


def test_markup_and_nothing_are_text() -> None:
    espeak = Espeak()
    assert len(espeak.synthesise("").samples) < 1_000
    assert len(espeak.synthesise("<break time='9s'/> a\0b").samples) < 9 * 22_050


def test_phonemes_of_a_made_up_name() -> None:
    assert Espeak().phonemes("Zorblax").replace("_", "").replace("ˈ", "") == "zɔːɹblæks"
    assert len(Espeak().phonemes("one. two. three").split()) == 3


def test_british_voice_differs_and_an_unknown_voice_is_refused() -> None:
    espeak = Espeak()
    assert espeak.phonemes("bath", "en-gb") != espeak.phonemes("bath", "en-us")
    assert len(espeak.synthesise("hello", "en-gb+f3").samples) > 4_000
    with pytest.raises(EspeakError, match="no voice 'xx-nowhere'"):
        espeak.synthesise("hello", "xx-nowhere")


def test_threads_do_not_mix_their_audio() -> None:
    espeak = Espeak()
    lines = [f"This is caller number {n}." * (1 + n % 3) for n in range(12)]
    alone = [len(espeak.synthesise(line).samples) for line in lines]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda line: len(Espeak().synthesise(line).samples), lines))
    # The library draws some of its pauses: the same line differs by up to 2 % from itself. A lost chunk is more.
    assert all(abs(a - b) < 0.05 * a for a, b in zip(alone, together, strict=True))
