"""The telephone's sound in a browser: µ-law, resampling and what waits to be played, as ``sound.js`` has them."""

import numpy as np
import pytest
from playwright.sync_api import Page

from telephony.audio import g711

pytestmark = pytest.mark.browser


def test_the_browsers_sound_is_the_telephones(page: Page) -> None:
    samples = np.arange(-32_768, 32_768, dtype=np.int16)
    encoded = page.evaluate("""async () => {
        const {encode} = await import('/static/sound.js');
        return Array.from({length: 65536}, (_, at) => encode(at - 32768));
    }""")
    assert bytes(encoded) == g711.encode(samples)
    bytes_of = bytes(range(256))
    decoded = page.evaluate("""async () => {
        const {decode} = await import('/static/sound.js');
        return Array.from({length: 256}, (_, at) => decode(at));
    }""")
    assert decoded == g711.decode(bytes_of).tolist()


@pytest.mark.parametrize("rate", [44_100, 48_000, 16_000])
def test_resampling_keeps_speech_and_folds_nothing_back(page: Page, rate: int) -> None:
    """Gains in dB of tones, to the line and from it: in its band none, beyond it nothing is left."""
    gains = page.evaluate(
        """async (rate) => {
        const {Resampler} = await import('/static/sound.js');
        const level = (samples) => Math.sqrt(samples.reduce((sum, each) => sum + each * each, 0) / samples.length);
        const gain = (from, to, hz) => {
            const resampler = new Resampler(from, to);
            const made = [];
            for (let block = 0; block < 200; block++) {
                const tone = Float32Array.from({length: 128}, (_, at) =>
                    Math.sin(2 * Math.PI * hz * (block * 128 + at) / from));
                made.push(...resampler.push(tone));
            }
            const expected = 200 * 128 * to / from;
            if (Math.abs(made.length - expected) > 2) throw new Error(`${made.length} samples for ${expected}`);
            return 20 * Math.log10(level(made.slice(made.length / 4)) * Math.SQRT2);
        };
        return {
            down: [300, 1000, 3400].map((hz) => gain(rate, 8000, hz)),
            folded: [4100, 5000, 7900].map((hz) => gain(rate, 8000, hz)),
            up: [300, 1000, 3400].map((hz) => gain(8000, rate, hz)),
        };
    }""",
        rate,
    )
    assert np.abs(gains["down"] + gains["up"]).max() < 0.2
    assert max(gains["folded"]) < -55


def test_what_waits_is_bounded_and_cleared(page: Page) -> None:
    seen = page.evaluate("""async () => {
        const {Playout} = await import('/static/sound.js');
        const playout = new Playout();
        const out = new Float32Array(80);
        const one = (value, length = 640) => new Float32Array(length).fill(value);
        const seen = {};
        playout.fill(out);
        seen.silence = out[0];
        playout.add(one(0.5)); playout.mark('0');
        playout.fill(out);
        seen.first = out[79];
        seen.early = playout.played();
        for (let step = 0; step < 7; step++) playout.fill(out);
        seen.after = playout.played();
        playout.fill(out);
        seen.start = playout.start;
        playout.add(one(0.1, 80)); playout.mark('short');
        for (let step = 0; step < 12; step++) playout.fill(out);
        seen.short = playout.played();
        for (let number = 0; number < 40; number++) { playout.add(one(number)); playout.mark(`m${number}`); }
        seen.queued = playout.queued;
        seen.dropped = playout.played().length;
        playout.clear();
        seen.cleared = [playout.queued, playout.played().length];
        playout.fill(out);
        seen.quiet = out[0];
        playout.mark('late');
        seen.late = playout.played();
        return seen;
    }""")
    assert seen["silence"] == 0
    assert seen["first"] == 0.5
    assert seen["early"] == []
    assert seen["after"] == ["0"]
    assert 480 < seen["start"] <= 1_600
    assert seen["short"] == ["short"]
    assert seen["queued"] <= 12_000
    assert seen["dropped"] + seen["cleared"][1] == 40
    assert seen["cleared"][0] == seen["quiet"] == 0
    assert seen["late"] == ["late"]
