"""A call longer than the context keeps its role: its slot is rebuilt between two ticks, as if it had just begun."""

import numpy as np
import pytest
import torch

from agent.duplex import FRAME_SAMPLES, RoleCard, RolePrompt, Sampling
from agent.engines.personaplex.anchor import Anchor, Schedule
from agent.engines.personaplex.checkpoint import load_models
from agent.engines.personaplex.delays import AGENT, CALLER
from agent.engines.personaplex.prefill import Prefill
from agent.engines.personaplex.prompt import PromptSteps, Voice, prompt_steps
from agent.engines.personaplex.slots import EngineState, empty_rings
from agent.engines.personaplex.step import advance, reach_of
from agent.engines.personaplex.ticker import Ticker, TickerOptions

CPU = torch.device("cpu")
MODELS = load_models("tiny", "", CPU, torch.float32)
LM, CONFIG = MODELS.lm, MODELS.lm.config
ONE = torch.ones(1, dtype=torch.bool)
CARD = RoleCard("Dana", "Northwind", "dispatcher", "", "", "", "", "")
GREEDY = Sampling(audio_temperature=0, text_temperature=0)


def state(history: int = 300) -> EngineState:
    return EngineState.empty(1, CONFIG, MODELS.mimi, device=CPU, dtype=torch.float32, history=history)


def begin(prompt: PromptSteps) -> EngineState:
    one = state()
    prefill = Prefill(LM, one.rings, 0, prompt)
    while not prefill.done:
        prefill.advance()
    one.window.copy_row(0, prompt.window, 0)
    return one


def caller(ticks: int, seed: int = 4) -> torch.Tensor:
    return torch.randint(0, 2048, (ticks, 1, 8), generator=torch.Generator().manual_seed(seed))


def step(one: EngineState, heard: torch.Tensor) -> torch.Tensor:
    return advance(LM, one, heard, ONE, reach_of(int(one.window.offset[0]) - 1, CONFIG.context))[0]


@pytest.mark.parametrize("keep", [1, 20, 90])
@pytest.mark.parametrize("ticks_between_chunks", [0, 3])
def test_a_rebuilt_slot_is_a_fresh_one_given_the_same_tokens(keep: int, ticks_between_chunks: int) -> None:
    voice = Voice("c", codes=caller(70, seed=1)[:, 0])
    prompt = prompt_steps(voice, [9, 8, 7], CONFIG.text_initial, CPU)
    old = begin(prompt)
    heard = iter(caller(300))
    positions: dict[int, torch.Tensor] = {}

    def talk() -> None:
        codes = next(heard)
        step(old, codes)
        last = old.window.offset - 1
        positions[int(last)] = torch.cat((old.window.column(last)[0][0, AGENT], codes[0]))

    for _ in range(110):
        talk()
    anchor = Anchor(LM, old, 0, empty_rings(1, CONFIG, CPU, torch.float32), prompt, keep)
    first = int(old.window.offset[0]) - 1 - keep
    for _ in anchor.run(None):
        for _ in range(ticks_between_chunks):
            talk()
    last = max(positions)

    fresh = begin(prompt)
    for position in range(first, last + 1):
        tokens = positions[position]
        place = int(fresh.window.offset[0]) % 4
        kept = fresh.window.forced[0, AGENT, place]  # the first frame's delayed streams are the prompt's
        fresh.window.tokens[0, AGENT, place] = torch.where(kept, fresh.window.tokens[0, AGENT, place], tokens[:9])
        fresh.window.forced[0, AGENT, place] = True
        fresh.window.give(CALLER, tokens[None, 9:], ONE)
        step(fresh, tokens[None, 9:])

    assert torch.equal(old.window.offset, fresh.window.offset)
    taken = int(fresh.window.offset[0]) - 1
    assert anchor.steps == taken
    for one, other in zip(old.rings, fresh.rings, strict=True):
        torch.testing.assert_close(one.keys[:, :, :taken], other.keys[:, :, :taken], rtol=0, atol=1e-4)
        torch.testing.assert_close(one.values[:, :, :taken], other.values[:, :, :taken], rtol=0, atol=1e-4)
    for codes in caller(30, seed=9):
        assert step(old, codes).tolist() == step(fresh, codes).tolist()


def test_it_happens_at_a_quiet_moment_or_before_the_ring_is_full() -> None:
    schedule = Schedule(capacity=3000, keep_steps=750)
    assert [schedule.is_due(steps, is_quiet=True) for steps in (2624, 2625)] == [False, True]
    assert [schedule.is_due(steps, is_quiet=False) for steps in (2625, 2906, 2907)] == [False, False, True]
    assert not Schedule(3000, 0).is_due(5000, is_quiet=True)
    assert schedule.kept(prompt_steps=300, steps=2700) == 750
    assert schedule.kept(prompt_steps=1490, steps=2700) + 1490 < 3000 - 3000 // 4
    assert schedule.kept(prompt_steps=300, steps=400) == 100


def test_a_long_call_is_rebuilt_again_and_again_and_its_ticks_go_on() -> None:
    ticker = Ticker(MODELS, TickerOptions(2, torch.float32, anchor_s=20))
    role = RolePrompt("You are Dana.", "NATF2", CARD, GREEDY, seed=1)
    for slot in range(2):
        for _ in ticker.take_in(slot, ticker.prepare(role, role.voice)):
            pass
    sound = np.random.default_rng(0).normal(0, 0.1, FRAME_SAMPLES).astype(np.float32)
    rebuilt = 0
    ticker.state.window.offset[0] = CONFIG.context - 130  # as if the call had gone on for long
    ticker._steps[0] = CONFIG.context - 131
    for _ in range(3):
        ticker.state.window.offset[0] += (900 - int(ticker.state.window.offset[0])) // 4 * 4
        ticker._steps[0] = int(ticker.state.window.offset[0]) - 1
        job = None
        for _ in range(160):
            said = ticker.tick({0: sound, 1: sound})
            assert set(said) == {0, 1}
            due = ticker.due_anchor([0, 1])
            if job is None and due is not None:
                assert due == 0
                job = ticker.anchor(due)
            if job is not None and next(job, "done") == "done":
                rebuilt += 1
                break
        assert ticker._steps[0] == int(ticker.state.window.offset[0]) - 1 < CONFIG.context // 2
    assert rebuilt == 3


def test_off_it_is_the_reference_ring() -> None:
    ticker = Ticker(MODELS, TickerOptions(1, torch.float32))
    ticker._steps[0] = 10 * CONFIG.context
    assert ticker.due_anchor([0]) is None
    assert ticker.state.history.numel() == 0
