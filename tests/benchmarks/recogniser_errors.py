"""Word errors of the recogniser by voice, over the library's test questions, on a clean and on a noisy line.

Run ``python tests/benchmarks/recogniser_errors.py [--voices slt,rms,en-us] [--snr 20] [--cards 10] [--verbose]``.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass

from agent.bench.answers import word_errors
from agent.bench.callers import Callers, default_voices
from agent.engines.cascade.recogniser import make_recogniser
from agent.engines.cascade.recogniser.spoken import spoken_words
from agent.role import role_card
from personas.library import load_library


@dataclass(slots=True)
class Tally:
    words: int = 0
    errors: int = 0
    audio_s: float = 0.0
    decode_s: float = 0.0


async def measure(voices: tuple[str, ...], snr_db: float | None, cards: int, verbose: bool) -> None:
    """Print a line for each voice: word error rate and decoding time over audio time."""
    callers = Callers(voices)
    recogniser = make_recogniser({"recogniser_workers": "1"})
    await recogniser.start()
    tallies = {voice: Tally() for voice in voices}
    for card in load_library()[:cards]:
        session = await recogniser.open(role_card(card))
        for question in card.test_questions:
            for voice, tally in tallies.items():
                audio = await asyncio.to_thread(callers.phone, question.ask, voice, snr_db)
                begun = time.perf_counter()
                heard = await session.transcribe(audio)
                tally.decode_s += time.perf_counter() - begun
                tally.audio_s += len(audio) / 8_000
                said = spoken_words(question.ask)
                errors = word_errors(said, heard.text.split())
                tally.words, tally.errors = tally.words + len(said), tally.errors + errors
                if verbose and errors:
                    print(f"{card.slug} {voice}: {' '.join(said)} | {heard.text}")
    await recogniser.close()
    line = "clean" if snr_db is None else f"{snr_db:g} dB"
    for voice, tally in tallies.items():
        print(f"{line:8} {voice:10} WER {tally.errors / tally.words:6.1%}  time {tally.decode_s / tally.audio_s:.2f}")
    mean = sum(tally.errors / tally.words for tally in tallies.values()) / len(tallies)
    print(f"{line:8} {'mean':10} WER {mean:6.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Word errors of the recogniser by voice.")
    parser.add_argument("--voices", default=",".join(default_voices()), help="comma-separated (default: %(default)s)")
    parser.add_argument("--snr", type=float, default=20.0, help="noise of the second run in dB (default: %(default)s)")
    parser.add_argument("--cards", type=int, default=10, help="cards of the library to ask (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="print every question that was not understood")
    chosen = parser.parse_args()
    voices = tuple(chosen.voices.split(","))
    for snr_db in (None, chosen.snr):
        asyncio.run(measure(voices, snr_db, chosen.cards, chosen.verbose))


if __name__ == "__main__":
    main()
