"""What a call hears is its own affair: neighbours, pauses, its place in the batch and copies of it change nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from agent.duplex import FRAME_SAMPLES, RoleCard, RolePrompt, Sampling
from agent.engines.personaplex.checkpoint import load_models
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import KVRing, visible
from agent.engines.personaplex.ticker import Ticker, TickerOptions

CPU = torch.device("cpu")
MODELS = load_models("tiny", "", CPU, torch.float32)
CARD = RoleCard("Dana", "Northwind", "dispatcher", "", "", "", "", "")
GREEDY = Sampling(audio_temperature=0, text_temperature=0)
SLOTS = 3
FEW = settings(max_examples=8, deadline=None, derandomize=True)


@dataclass(slots=True)
class Caller:
    """A call: who it is, and what was said on it so far."""

    seed: int
    sampling: Sampling = field(default_factory=Sampling)
    said: list[tuple[int, np.ndarray]] = field(default_factory=list)

    @property
    def role(self) -> RolePrompt:
        text = f"You are caller {self.seed}'s agent."
        return RolePrompt(text, f"NATF{self.seed % 4}", CARD, sampling=self.sampling, seed=self.seed)

    def sound(self, frame: int) -> np.ndarray:
        return np.random.default_rng((self.seed, frame)).normal(0, 0.1, FRAME_SAMPLES).astype(np.float32)


def ticker(slots: int = SLOTS) -> Ticker:
    return Ticker(MODELS, TickerOptions(slots, torch.float32))


def prompt(ticker: Ticker, slot: int, caller: Caller) -> Iterator[None]:
    role = caller.role
    return ticker.take_in(slot, ticker.prepare(role, role.voice))


def enter(ticker: Ticker, slot: int, caller: Caller) -> None:
    for _ in prompt(ticker, slot, caller):
        pass


def talk(ticker: Ticker, callers: dict[int, Caller]) -> None:
    said = ticker.tick({slot: caller.sound(len(caller.said)) for slot, caller in callers.items()})
    for slot, caller in callers.items():
        caller.said.append((said[slot][1], said[slot][0]))


def alone(caller: Caller) -> list[tuple[int, np.ndarray]]:
    again, single = Caller(caller.seed, caller.sampling), ticker(1)
    enter(single, 0, again)
    for _ in caller.said:
        talk(single, {0: again})
    return again.said


def assert_same(found: list[tuple[int, np.ndarray]], wanted: list[tuple[int, np.ndarray]]) -> None:
    assert [token for token, _ in found] == [token for token, _ in wanted]
    for (_, one), (_, other) in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("talk"), st.sets(st.integers(0, SLOTS - 1), min_size=1)),
        st.tuples(st.just("leave"), st.integers(0, SLOTS - 1)),
        st.tuples(st.just("chunk"), st.integers(0, SLOTS - 1)),
    ),
    min_size=25,
    max_size=60,
)


@FEW
@given(events=EVENTS, greedy=st.booleans())
def test_a_call_in_a_batch_is_the_call_alone(events: list[tuple[str, object]], greedy: bool) -> None:
    """Slots join (their prompts in chunks between the others' ticks), pause and leave at random."""
    batch = ticker()
    prompts: dict[int, Iterator[None]] = {}
    live: dict[int, Caller] = {}
    joining: dict[int, Caller] = {}
    ended: list[Caller] = []

    def join(slot: int) -> None:
        joining[slot] = Caller(len(ended) * SLOTS + slot, GREEDY if greedy else Sampling())
        prompts[slot] = prompt(batch, slot, joining[slot])

    for slot in range(SLOTS):
        join(slot)
    for kind, what in events:
        if kind == "talk":
            now = {slot: live[slot] for slot in what if slot in live}
            if now:
                talk(batch, now)
        elif kind == "leave" and what in live:
            ended.append(live.pop(what))
            join(what)
        elif kind == "chunk" and what in joining and next(prompts[what], "done") == "done":
            live[what] = joining.pop(what)
    for caller in (*ended, *live.values()):
        assert_same(caller.said, alone(caller))


def test_a_fixed_seed_draws_the_same_whatever_the_neighbours_do() -> None:
    quiet, busy = ticker(), ticker()
    one, other = Caller(1), Caller(1)
    enter(quiet, 1, one)
    for slot, caller in ((0, Caller(5)), (1, other), (2, Caller(6))):
        enter(busy, slot, caller)
    neighbours = {0: Caller(5), 2: Caller(6)}
    for frame in range(20):
        talk(quiet, {1: one})
        talk(busy, {1: other, **(neighbours if frame % 3 else {})})
    assert_same(one.said, other.said)
    another = Caller(1)
    another_seed = RolePrompt(another.role.text, another.role.voice, CARD, seed=99)
    third = ticker()
    for _ in third.take_in(1, third.prepare(another_seed, another.role.voice)):
        pass
    for _ in range(20):
        talk(third, {1: another})
    assert [token for token, _ in another.said] != [token for token, _ in one.said]


def test_a_slot_copied_out_and_in_is_untouched() -> None:
    batch, kept = ticker(), ticker()
    untouched, copied = Caller(2), Caller(2)
    enter(kept, 0, untouched)
    enter(batch, 0, copied)
    for _ in range(8):
        talk(kept, {0: untouched})
        talk(batch, {0: copied})
    config = MODELS.lm.config
    out = EngineState.empty(1, config, MODELS.mimi, device=CPU, dtype=torch.float32)
    out.copy_row(0, batch.state, 0)
    for _ in range(5):
        talk(batch, {0: Caller(7)})  # something else runs in the slot meanwhile
    batch.state.copy_row(0, out, 0)
    for _ in range(8):
        talk(kept, {0: untouched})
        talk(batch, {0: copied})
    assert_same(copied.said, untouched.said)


@FEW
@given(capacity=st.integers(3, 9), steps=st.integers(1, 25), seed=st.integers(0, 99))
def test_the_ring_is_a_plain_list(capacity: int, steps: int, seed: int) -> None:
    """A step sees the C-1 newest steps, itself among them, whatever the ring has overwritten."""
    generator = torch.Generator().manual_seed(seed)
    ring = KVRing.empty(2, 2, capacity, 4, CPU, torch.float32)
    keys: list[torch.Tensor] = []
    values: list[torch.Tensor] = []
    for step in range(steps):
        q, k, v = torch.randn(3, 2, 2, 1, 4, generator=generator)
        keys.append(k)
        values.append(v)
        at = torch.full((2, 1), step)
        ring.write(k, v, at)
        reach = min(capacity, step + 1)
        mask = visible(at, capacity, reach)[:, None]
        found = F.scaled_dot_product_attention(q, ring.keys[:, :, :reach], ring.values[:, :, :reach], attn_mask=mask)
        recent = slice(max(0, len(keys) - capacity + 1), None)
        wanted = F.scaled_dot_product_attention(q, torch.cat(keys[recent], 2), torch.cat(values[recent], 2))
        torch.testing.assert_close(found, wanted)
