"""How fast the cascade gives way, and to whom: interruptions and backchannels against the rule that decides.

    caller's line ──▶ VoiceActivity ──▶ BargeIn ──▶ when the agent would be silent

Real time plays no part: the rule lives on frames. A frame's answer is heard when the frame is over.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.bench.callers import Callers
from agent.duplex import FRAME_MS, FRAME_SAMPLES
from agent.engines.cascade.activity import Silero, VoiceActivity
from agent.engines.cascade.floor import BargeIn, Floor, audible
from agent.engines.cascade.ports import Pcm8k
from telephony.audio.resample import Upsampler

INTERRUPTIONS = (
    "No, wait, I need my account number",
    "Excuse me, can I ask something",
    "May I ask about the fee",
    "Sorry, what was that price again",
    "My name is Anna Miller and I have a question",
    "Oh, I wanted to know the price",
    "Do you open on Sunday",
    "Hold on, that is not what I asked",
    "How much is it for two of them",
    "I would like to speak about my contract please",
    "Actually I have another question",
    "But what about the other one",
    "That is wrong, I paid that already",
    "Can you repeat that please",
)
BACKCHANNELS = ("mm-hmm", "hmm", "yeah", "okay", "right", "I see", "sure", "yes", "great", "got it", "uh-huh")
YIELDED_MS = 500
"""The agent yields when it is silent for so long (docs/evaluation)."""

_LEVEL_DB = -20.0
_FADE_MS = 10
_BEFORE_MS = 1_000
_PHASES_MS = (0, 23, 46, 69)


@dataclass(frozen=True, slots=True)
class Burst:
    """What the agent did when the caller said ``text``: ``stop_ms`` after the onset it fell silent, None if not."""

    text: str
    voice: str
    snr_db: float | None
    interrupts: bool
    stop_ms: float | None


def bursts(callers: Callers, snrs: Sequence[float | None], done: Callable[[], None]) -> Iterator[Burst]:
    """Say every burst in every voice, at every ``snrs``, at four places in a frame; calls ``done`` after each text."""
    silero = Silero()
    for interrupts, texts in ((True, INTERRUPTIONS), (False, BACKCHANNELS)):
        for text in texts:
            for voice in callers.voices:
                for snr_db in snrs:
                    for phase_ms in _PHASES_MS:
                        line, onset_ms = callers.alone(text, voice, snr_db, _BEFORE_MS + phase_ms)
                        yield Burst(text, voice, snr_db, interrupts, _stop_ms(silero, line, onset_ms))
            done()


def _stop_ms(silero: Silero, line: Pcm8k, onset_ms: float) -> float | None:
    """Return when, after the caller's onset, the first silence of the agent's begins that counts as yielding."""
    silent_from: float | None = None
    for verdict, at_ms in _verdicts(silero, line):
        if verdict is Floor.SPEAK_ON and silent_from is not None:
            if at_ms - silent_from >= YIELDED_MS:
                break
            silent_from = None
        elif verdict in (Floor.HUSH, Floor.YIELD) and silent_from is None:
            silent_from = at_ms + _FADE_MS
        if verdict is Floor.YIELD:
            break
    return None if silent_from is None else silent_from - onset_ms


def _verdicts(silero: Silero, line: Pcm8k) -> Iterator[tuple[Floor, float]]:
    activity, barge_in = VoiceActivity(silero), BargeIn()
    sound = Upsampler().process(line)
    for start in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        _, windows = activity.hear(sound[start : start + FRAME_SAMPLES])
        heard_ms = start * FRAME_MS / FRAME_SAMPLES + FRAME_MS
        for window in windows:
            verdict = barge_in.hear(window, audible(window, _LEVEL_DB))
            if verdict is not Floor.KEEP:
                yield verdict, heard_ms


def floor_figures(together: Sequence[Burst]) -> dict[str, float]:
    """Return the stop latency of interruptions that stopped the agent, and the shares of both kinds that did."""
    stops = [burst.stop_ms for burst in together if burst.interrupts and burst.stop_ms is not None]
    interrupting = sum(burst.interrupts for burst in together)
    encouraging = [burst.stop_ms for burst in together if not burst.interrupts]
    p50, p90 = np.percentile(stops, [50, 90]) if stops else (0.0, 0.0)
    return {
        "stop_p50_ms": round(float(p50)),
        "stop_p90_ms": round(float(p90)),
        "stopped_within_300_ms_pct": round(100 * sum(stop <= 300 for stop in stops) / max(1, interrupting), 1),
        "stopped_pct": round(100 * len(stops) / max(1, interrupting), 1),
        "backchannels_yielded_to_pct": round(
            100 * sum(stop is not None and stop <= 1_000 for stop in encouraging) / max(1, len(encouraging)), 1
        ),
    }
