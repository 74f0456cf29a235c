"""A call on the cascade: who speaks when."""

import asyncio
import re
from itertools import pairwise

import numpy as np
import pytest

from agent.duplex import FRAME_MS, FRAME_SAMPLES, EngineLost

QUESTION = "when do you collect glass"
INTERRUPTION = "no wait I want to ask about paper"
STATEMENT = "the new bins"


async def ask_for_the_long_answer(call, caller) -> int:
    """Ask, and let the agent speak for 2 s; return when it began, in ms."""
    await call.until_quiet()
    await call.hear(caller.say(QUESTION))
    await call.until(lambda frame: frame.audio.any())
    began_ms = call.now_ms
    await call.wait(2_000)
    return began_ms


async def test_the_agent_opens_the_call(call) -> None:
    await call.until_quiet()
    assert call.text() == "Northwind Waste, this is Dana. How can I help you?"
    first = next(n for n, frame in enumerate(call.frames) if frame.audio.any())
    assert first <= 3


async def test_a_question_is_answered_and_its_delay_explained(call, caller, responder) -> None:
    await call.until_quiet()
    await call.hear(caller.say(QUESTION))
    ended_ms = call.now_ms
    first = await call.until(lambda frame: frame.audio.any())
    assert responder.heard == [QUESTION]
    assert call.heard() == QUESTION
    assert set(first.timings) == {"endpoint_ms", "decode_ms", "answer_ms", "voice_ms"}
    assert 300 <= call.now_ms - ended_ms <= 700  # a whole question: answered after 350 ms, not 500
    spans = [word for frame in call.frames for word in frame.heard]
    assert all(a.end_ms <= b.start_ms + 1 for a, b in pairwise(spans))
    assert abs(spans[-1].end_ms - ended_ms) <= 200


async def test_words_come_out_as_they_are_spoken(call, caller) -> None:
    await ask_for_the_long_answer(call, caller)
    await call.until_quiet()
    pieces = [frame.text for frame in call.frames if frame.text]
    assert all(piece.startswith(" ") for piece in pieces)
    assert max(len(piece.split()) for piece in pieces) <= 3
    starts = [frame.index for frame in call.frames if frame.text]
    assert all(b - a <= 20 for a, b in pairwise(starts) if a * FRAME_MS > 5_000)


async def test_the_caller_may_pause_in_a_sentence(call, caller, responder) -> None:
    await call.until_quiet()
    await call.hear(caller.say("my question is about"))
    await call.wait(900)
    await call.hear(caller.say("the new bins"))
    await call.until_quiet(1_200)
    assert responder.heard == ["my question is about the new bins"]
    assert call.heard() == "my question is about the new bins"


async def test_what_follows_before_the_agent_has_said_a_word_belongs_to_the_question(call, caller, responder) -> None:
    await call.until_quiet()
    responder.gate.clear()
    await call.hear(np.concatenate([caller.say(QUESTION), np.zeros(24 * 700, np.float32)]), settle=False)
    assert responder.heard == [QUESTION]
    await call.hear(np.concatenate([caller.say(STATEMENT), np.zeros(24 * 900, np.float32)]), settle=False)
    responder.gate.set()
    await call.until_quiet()
    assert responder.heard == [QUESTION, f"{QUESTION} {STATEMENT}"]
    assert responder.cut_off == [""]
    assert call.heard() == f"{QUESTION} {STATEMENT}"


async def test_an_interruption_stops_the_agent_within_300_ms(call, caller, responder) -> None:
    began_ms = await ask_for_the_long_answer(call, caller)
    onset_ms = call.now_ms
    await call.hear(caller.say(INTERRUPTION))
    await call.until(lambda frame: frame.audio.any())
    await call.until_quiet()
    assert call.silence_after(onset_ms) <= 300
    assert responder.heard == [QUESTION, INTERRUPTION]
    spoken = responder.cut_off[0]
    assert 3 <= len(spoken.split()) <= 12
    assert call.text(began_ms - 400).startswith(spoken + " You said no wait")


@pytest.mark.parametrize("phase_ms", [0, 20, 40, 60])
async def test_it_stops_as_fast_wherever_the_frames_fall(call, caller, phase_ms: int) -> None:
    await ask_for_the_long_answer(call, caller)
    onset_ms = call.now_ms + phase_ms
    silence = np.zeros(24 * phase_ms, np.float32)
    await call.hear(np.concatenate([silence, caller.say("I would like to speak about my contract please", "en-gb+f3")]))
    await call.wait(1_000)
    assert call.silence_after(onset_ms) <= 300


@pytest.mark.parametrize("kind", ["female", "male"])
async def test_mm_hmm_does_not_stop_the_agent(call, caller, responder, kind: str) -> None:
    await ask_for_the_long_answer(call, caller)
    onset_ms = call.now_ms
    await call.hear(caller.hum(kind))
    await call.wait(1_000)
    assert call.silence_after(onset_ms - 100, 200) > 1_000
    await call.until_quiet()
    assert responder.heard == [QUESTION]
    assert responder.cut_off == []


@pytest.mark.parametrize("text", ["yeah", "okay"])
async def test_nor_does_a_word_of_encouragement(call, caller, responder, text: str) -> None:
    began_ms = await ask_for_the_long_answer(call, caller)
    onset_ms = call.now_ms
    await call.hear(caller.say(text))
    await call.wait(1_500)
    assert call.silence_after(onset_ms) > 1_000  # a hush, shorter than the half second that counts as yielding
    await call.until_quiet()
    assert responder.heard == [QUESTION]
    answer = call.text(began_ms - 400)
    assert answer.endswith("every working day.")
    assert len(re.findall(r"seven in the morning", answer)) == 1
    assert call.heard().endswith(text)


async def test_wait_stops_the_agent_a_little_later(call, caller, responder) -> None:
    await ask_for_the_long_answer(call, caller)
    onset_ms = call.now_ms
    await call.hear(caller.say("wait"))
    await call.until(lambda frame: bool(responder.cut_off))
    assert call.now_ms - onset_ms <= 1_000
    await call.until_quiet()
    assert responder.heard == [QUESTION, "wait"]


async def test_words_that_were_cut_off_are_not_told(call, caller, responder) -> None:
    began_ms = await ask_for_the_long_answer(call, caller)
    onset_ms = call.now_ms
    await call.hear(caller.say(INTERRUPTION))
    told = call.text(began_ms - 400)
    assert told
    assert told == responder.cut_off[0]
    assert "every working day" not in told
    assert not any(frame.text for frame in call.frames[(onset_ms + 300) // FRAME_MS :])


async def test_its_own_echo_does_not_interrupt_it(call, caller, responder) -> None:
    await call.until_quiet()
    await call.hear(caller.say(QUESTION))
    echo = [np.zeros(FRAME_SAMPLES, np.float32)] * 3
    for _ in range(200):
        await call.hear(echo[-3])
        echo.append(call.frames[-1].audio * np.float32(10 ** (-30 / 20)))
    assert responder.heard == [QUESTION]
    assert call.text().endswith("every working day.")


async def test_a_silent_caller_is_asked_twice_and_then_taken_leave_of(call) -> None:
    await call.until_quiet()
    opened_ms = call.now_ms
    last = await call.until(lambda frame: frame.ends_call, 60_000)
    text = call.text()
    assert text.count("Are you still there?") == 2
    assert text.endswith("Thank you for calling. Goodbye!")
    assert 24_000 <= call.now_ms - opened_ms <= 40_000
    assert last.index == len(call.frames) - 1
    await call.wait(10_000)
    assert sum(frame.ends_call for frame in call.frames) == 1
    assert call.text() == text


async def test_a_goodbye_ends_the_call_once_it_is_spoken(call, caller) -> None:
    await call.until_quiet()
    await call.hear(caller.say("goodbye now"))
    await call.until(lambda frame: frame.ends_call)
    assert call.text().endswith("Goodbye, then.")
    assert not any(frame.ends_call for frame in call.frames[:-1])


async def test_a_goodbye_that_is_interrupted_does_not(call, caller) -> None:
    await call.until_quiet()
    await call.hear(caller.say("goodbye now"))
    await call.until(lambda frame: frame.audio.any())
    await call.hear(caller.say(INTERRUPTION))
    await call.until_quiet()
    assert not any(frame.ends_call for frame in call.frames)


async def test_barks_are_not_answered_and_mumbling_once(call, caller, responder) -> None:
    await call.until_quiet()
    burst = np.random.default_rng(1).normal(0, 0.2, 24 * 120).astype(np.float32)
    for _ in range(3):
        await call.hear(burst)
        await call.wait(700)
    assert responder.heard == []
    for _ in range(3):
        await call.hear(caller.say("blah foo gargle bargle"))
        await call.until_quiet(1_500)
    assert responder.heard == [""]


async def test_frames_are_answered_while_the_recogniser_hangs(call, caller, recogniser, responder) -> None:
    await call.until_quiet()
    recogniser.gate.clear()
    reader = call._reader
    for start in range(0, 24_000 * 6, FRAME_SAMPLES):
        sound = caller.say(QUESTION)[start : start + FRAME_SAMPLES]
        call.session.push(np.pad(sound, (0, FRAME_SAMPLES - len(sound))))
        async with asyncio.timeout(1):
            call.frames.append(await anext(reader))
    assert [frame.index for frame in call.frames] == list(range(len(call.frames)))
    recogniser.gate.set()
    await call.session.settled()
    await call.until(lambda frame: frame.audio.any())
    assert responder.heard == [QUESTION]


async def test_a_broken_part_loses_the_call_and_no_other(engine, open_call, caller, recogniser) -> None:
    call, other = await open_call(), await open_call()
    await call.until_quiet()
    recogniser.fail = True
    with pytest.raises(EngineLost, match="see the log"):
        await call.hear(np.concatenate([caller.say(QUESTION), np.zeros(24_000, np.float32)]))
    await other.until_quiet()
    assert engine.capacity().used == 1


async def test_a_long_speech_is_taken_in_parts(call, caller, responder) -> None:
    await call.until_quiet()
    sentence = np.concatenate([caller.say(STATEMENT), np.zeros(24 * 280, np.float32)])
    for _ in range(45_000 * 24 // len(sentence)):
        await call.hear(sentence)
    assert responder.heard == []
    await call.until_quiet()
    assert len(responder.heard) == 1
    assert responder.heard[0].startswith(STATEMENT)
