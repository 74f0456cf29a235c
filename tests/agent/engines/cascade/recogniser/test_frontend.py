"""The front end: equal to pocketsphinx's own at 16 kHz; whole and finite at 8 kHz."""

import struct
from pathlib import Path

import numpy as np
import pocketsphinx
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly

from agent.engines.cascade.espeak import Espeak
from agent.engines.cascade.recogniser.frontend import NARROW, WIDE, mel_spectrum, wide_cepstra
from agent.engines.cascade.recogniser.highband import HighBand


def cepstra_of_pocketsphinx(audio: NDArray[np.int16], model: Path, folder: Path) -> NDArray[np.float32]:
    """Its front end's output, which it logs as a file: a count, then the numbers."""
    config = pocketsphinx.Config(
        hmm=str(model / "en-us"),
        lm=str(model / "en-us.lm.bin"),
        dict=str(model / "cmudict-en-us.dict"),
        loglevel="FATAL",
    )
    config.set_string_extra("mfclogdir", str(folder))
    decoder = pocketsphinx.Decoder(config)
    decoder.start_utt()
    decoder.process_raw(audio.tobytes(), full_utt=True)
    decoder.end_utt()
    raw = next(folder.glob("*.mfc")).read_bytes()
    order = "<" if struct.unpack("<i", raw[:4])[0] * 4 == len(raw) - 4 else ">"
    return np.frombuffer(raw[4:], f"{order}f4").reshape(-1, 13)


def test_wide_cepstra_equal_pocketsphinx(model: Path, tmp_path: Path) -> None:
    spoken = Espeak().synthesise("Which parcels leave on Thursday?")
    audio = resample_poly(spoken.samples.astype(float), 320, 441)
    audio = (audio * 0.5 + np.random.default_rng(0).normal(size=len(audio)) * 50).astype(np.int16)
    theirs = cepstra_of_pocketsphinx(audio, model, tmp_path)
    ours = wide_cepstra(audio)
    assert abs(len(ours) - len(theirs)) <= 1
    count = min(len(ours), len(theirs)) - 1  # the last window is filled up in different ways
    assert count > 100
    np.testing.assert_allclose(ours[:count], theirs[:count], atol=0.02)


def test_bands_shared_by_both_rates_agree() -> None:
    rng = np.random.default_rng(1)
    narrow = resample_poly(rng.normal(size=8_000) * 1_000, 1, 2)
    wide = resample_poly(narrow, 2, 1)
    emphasised = np.append(wide[:1], wide[1:] - 0.97 * wide[:-1])
    low = np.log(mel_spectrum(narrow, NARROW)).mean(axis=0)
    same = np.log(mel_spectrum(emphasised, WIDE)).mean(axis=0)[: len(low)]
    np.testing.assert_allclose(low, same, atol=0.3)


@pytest.mark.parametrize("count", [1, 80, 205, 206, 2_400])
def test_any_length_and_digital_silence_are_finite(count: int) -> None:
    cepstra = HighBand.load().cepstra(np.zeros(count, np.int16))
    assert cepstra.shape[1] == 13
    assert np.isfinite(cepstra).all()


def test_level_of_the_line_does_not_matter() -> None:
    audio = np.random.default_rng(2).normal(size=8_000) * np.repeat([100, 3_000, 200, 4_000], 2_000)
    loud, soft = (HighBand.load().cepstra((audio * gain).astype(np.int16)) for gain in (1.0, 0.25))
    np.testing.assert_allclose(loud, soft, atol=2.0)
