"""The loopback engine repeats the caller."""

import numpy as np
import pytest

from agent.duplex import FRAME_SAMPLES, EngineLost, EngineUnavailable, RoleCard, RolePrompt
from agent.engines.loopback import create

ROLE = RolePrompt("", "NATF0", RoleCard("", "", "", "", "", "", "", ""))


@pytest.mark.parametrize("delay", [0, 1, 5])
async def test_it_repeats_the_caller_later(delay: int) -> None:
    session = await create({"delay_frames": str(delay)}).open(ROLE)
    sent = np.random.default_rng(0).uniform(-0.9, 0.9, (12, FRAME_SAMPLES)).astype(np.float32)
    got = []
    for frame in sent:
        session.push(frame)
    async for answer in session.frames():
        got.append(answer.audio)
        if len(got) == len(sent):
            break
    assert not np.any(got[:delay])
    assert np.array_equal(got[delay:], sent[: len(sent) - delay])


@pytest.mark.parametrize("option", ["engine_slots", "delay_frames"])
def test_an_option_that_is_no_number_is_named(option: str) -> None:
    with pytest.raises(EngineUnavailable, match=option):
        create({option: "-1"})


async def test_a_call_that_nobody_reads_is_lost() -> None:
    session = await create({}).open(ROLE)
    for _ in range(800):
        session.push(np.zeros(FRAME_SAMPLES, np.float32))
    with pytest.raises(EngineLost, match="minute"):
        async for _ in session.frames():
            pass
