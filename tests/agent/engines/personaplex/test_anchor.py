"""A call longer than the context keeps its role: its slot is rebuilt between two ticks, as if it had just begun."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.duplex import FRAME_SAMPLES, RoleCard, RolePrompt, Sampling
from agent.engines.personaplex.anchor import Anchor, Schedule
from agent.engines.personaplex.checkpoint import load_models
from agent.engines.personaplex.delays import AGENT, CALLER, delays_on
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


def took(ticker: Ticker, slot: int) -> tuple[int, torch.Tensor]:
    """The position that a slot has just predicted, and its frame there: agent [9] and caller [8]."""
    window = ticker.state.window
    position = int(window.offset[slot]) - 1
    places = (position + delays_on(CPU)[CALLER]) % 4
    heard = window.tokens[slot, CALLER].gather(1, places[:, None])[:, 0]
    return position, torch.cat((window.column(window.offset - 1)[0][slot, AGENT], heard))


def fresh(prompt: PromptSteps, frames: list[torch.Tensor]) -> EngineState:
    """A slot that took the prompt and then these frames, one by one."""
    one = begin(prompt)
    for frame in frames:
        place = int(one.window.offset[0]) % 4
        prompted = one.window.forced[0, AGENT, place]  # the first frame's delayed streams are the prompt's
        one.window.tokens[0, AGENT, place] = torch.where(prompted, one.window.tokens[0, AGENT, place], frame[:9])
        one.window.forced[0, AGENT, place] = True
        one.window.give(CALLER, frame[None, 9:], ONE)
        step(one, frame[None, 9:])
    return one


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), keep=st.integers(1, 30), between=st.integers(10, 30))
def test_a_call_rebuilt_many_times_while_others_begin_is_a_fresh_one_each_time(
    seed: int, keep: int, between: int
) -> None:
    """Nobody is ever quiet, ticks come at random, and another slot's role prompts are taken in between all along."""
    ticker = Ticker(MODELS, TickerOptions(2, torch.float32, anchor_s=keep * 0.08))
    role = RolePrompt("You are Dana.", "NATF2", CARD, GREEDY, seed=1)
    for _ in ticker.take_in(0, ticker.prepare(role, role.voice)):
        pass
    prompt, _ = ticker._prompts[0]
    ticker._schedule.latest_steps = prompt.steps + keep + between
    others = (RolePrompt("word " * n, f"NATM{n % 4}", CARD, seed=n) for n in range(1_000))
    random = np.random.default_rng(seed)
    frames: dict[int, torch.Tensor] = {}
    job, prefill, first, rebuilt = None, iter(()), 0, 0
    while rebuilt < 3:
        what = random.choice(["tick", "tick", "tick", "prefill", "rebuild"])
        if what == "tick":
            ticker.tick({0: random.normal(0, 0.1, FRAME_SAMPLES).astype(np.float32)})
            position, frame = took(ticker, 0)
            frames[position] = frame
            if job is None and ticker.due_anchor([0]) is not None:
                job, first = ticker.anchor(0), -1
        elif what == "prefill" and next(prefill, "done") == "done":
            role = next(others)
            prefill = ticker.take_in(1, ticker.prepare(role, role.voice))
        elif what == "rebuild" and job is not None:
            before = int(ticker.state.window.offset[0])
            first = before - 1 - keep if first < 0 else first
            if next(job, "done") != "done":
                continue
            shift = before - int(ticker.state.window.offset[0])
            same = fresh(prompt, [frames[n] for n in range(first, max(frames) + 1)])
            frames = {n - shift: frame for n, frame in frames.items() if n >= first}
            taken = ticker._steps[0]
            assert taken == int(ticker.state.window.offset[0]) - 1 == int(same.window.offset[0]) - 1
            for one, other in zip(ticker.state.rings, same.rings, strict=True):
                for mine, theirs in zip(one.parts, other.parts, strict=True):
                    torch.testing.assert_close(mine[:1, :, :taken], theirs[:, :, :taken], rtol=0, atol=1e-4)
            mine, theirs = (window.column(window.offset - 1)[0][0] for window in (ticker.state.window, same.window))
            assert torch.equal(mine, theirs)
            mine, theirs = (window.column(window.offset)[0][0, CALLER] for window in (ticker.state.window, same.window))
            assert torch.equal(mine[1:], theirs[1:])  # the delayed streams of the caller's last frame
            job, rebuilt = None, rebuilt + 1


def test_off_it_is_the_reference_ring() -> None:
    ticker = Ticker(MODELS, TickerOptions(1, torch.float32))
    ticker._steps[0] = 10 * CONFIG.context
    assert ticker.due_anchor([0]) is None
    assert ticker.state.history.numel() == 0
