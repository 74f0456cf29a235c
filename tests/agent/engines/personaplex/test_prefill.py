"""A role prompt in one pass leaves a slot as stepping it does; kept prompts cost a copy and change nothing."""

from dataclasses import replace

import pytest
import torch

from agent.engines.personaplex.config import SHAPES, TEXT_PADDING
from agent.engines.personaplex.delays import AGENT
from agent.engines.personaplex.prefill import ImageCache, Prefill, RingImage
from agent.engines.personaplex.prompt import PromptSteps, Voice, check_voice, prompt_steps, wrap
from agent.engines.personaplex.random_models import random_models
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import NARROW, KVRing
from agent.engines.personaplex.step import advance, reach_of, tick

CPU = torch.device("cpu")
CONFIG = SHAPES["tiny"][0]
LM, MIMI = random_models("tiny", CPU, torch.float32)
ONE = torch.ones(1, dtype=torch.bool)
TEXT = [5, 17, 300, 9, 44]


def codes(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 2048, (frames, 8), generator=torch.Generator().manual_seed(seed))


def embedded_voice(frames: int = 9) -> Voice:
    generator = torch.Generator().manual_seed(3)
    cache = torch.randint(0, 2048, (17, 4), generator=generator)
    cache[0] = TEXT_PADDING
    return Voice("e", embeddings=torch.randn(frames, CONFIG.dim, generator=generator), cache=cache)


VOICES = [Voice("c", codes=codes(11)), embedded_voice(), Voice("none")]


def state(slots: int = 1, context: int = CONFIG.context) -> EngineState:
    return EngineState.empty(slots, replace(CONFIG, context=context), MIMI, device=CPU, dtype=torch.float32)


@torch.no_grad()
def stepped(voice: Voice, text: list[int], context: int = CONFIG.context) -> EngineState:
    """Take a prompt in as the reference does: one step a frame."""
    one = state(context=context)
    if voice.embeddings is not None:
        for embedding in voice.embeddings:
            LM.temporal(embedding[None, None], one.rings, one.window.offset - 1, ONE, CONFIG.context)
            one.window.offset += 1
        empty = prompt_steps(voice, [], CONFIG.text_initial, CPU)
        one.window.tokens.copy_(voice.cache[None])
        one.window.forced.copy_(_forced_after_embeddings(int(one.window.offset[0])))
        assert empty.voice_steps == len(voice.embeddings)
    for frame in frames_of(voice, text):
        one.window.give(AGENT, frame[None, :9], ONE)
        advance(LM, one, frame[None, 9:], ONE, reach_of(int(one.window.offset[0]) - 1, context))
    return one


def _forced_after_embeddings(offset: int) -> torch.Tensor:
    forced = torch.zeros(1, 17, 4, dtype=torch.bool)
    forced[0, :, offset % 4] = torch.tensor([0, 0, *[1] * 7, 0, *[1] * 7], dtype=torch.bool)
    return forced


def frames_of(voice: Voice, text: list[int]) -> list[torch.Tensor]:
    sine, silence = [430, 1268, 381, 1611, 1095, 1495, 56, 472], [948, 243, 1178, 546, 1736, 1030, 1978, 2008]
    spoken = [] if voice.codes is None else voice.codes.tolist()
    rows = [(3, frame) for frame in spoken] + [(3, silence)] * 6 + [(t, silence) for t in text] + [(3, silence)] * 6
    if voice.embeddings is None:
        rows = rows[1:]
    return [torch.tensor([token, *agent, *sine]) for token, agent in rows]


def prefilled(steps: PromptSteps, chunk: int = 64, one: EngineState | None = None, row: int = 0) -> EngineState:
    one = one or state()
    prefill = Prefill(LM, one.rings, row, steps)
    while not prefill.done:
        prefill.advance(chunk)
    one.window.copy_row(row, steps.window, 0)
    return one


@torch.no_grad()
def said(one: EngineState, ticks: int = 25, row: int = 0) -> list[list[int]]:
    live = torch.zeros(one.slots, dtype=torch.bool)
    live[row] = True
    rows = []
    for frame in codes(ticks, seed=8):
        heard = frame.expand(one.slots, -1)
        reach = reach_of(int(one.window.offset[row]) - 1, one.rings[0].capacity)
        rows.append(advance(LM, one, heard, live, reach)[row].tolist())
    return rows


@pytest.mark.parametrize("chunk", [64, 1, 7])
@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
@pytest.mark.parametrize("text", [TEXT, []], ids=["text", "no text"])
def test_prefill_is_stepping(voice: Voice, text: list[int], chunk: int) -> None:
    slow = stepped(voice, text)
    fast = prefilled(prompt_steps(voice, text, CONFIG.text_initial, CPU), chunk)
    assert torch.equal(fast.window.offset, slow.window.offset)
    taken = int(slow.window.offset[0]) - 1
    for one, other in zip(fast.rings, slow.rings, strict=True):
        torch.testing.assert_close(one.keys[:, :, :taken], other.keys[:, :, :taken], rtol=0, atol=1e-4)
        torch.testing.assert_close(one.values[:, :, :taken], other.values[:, :, :taken], rtol=0, atol=1e-4)
    assert said(fast) == said(slow)


def test_a_prompt_longer_than_the_ring_is_still_stepping() -> None:
    voice, context = Voice("long", codes=codes(80)), 64
    fast = prefilled(prompt_steps(voice, TEXT, CONFIG.text_initial, CPU), one=state(context=context))
    assert said(fast) == said(stepped(voice, TEXT, context))


@pytest.mark.parametrize("voice", VOICES[:2], ids=lambda voice: voice.name)
def test_a_kept_prompt_and_a_kept_voice_change_nothing(voice: Voice) -> None:
    steps = prompt_steps(voice, TEXT, CONFIG.text_initial, CPU)
    other = prompt_steps(voice, [400, 401], CONFIG.text_initial, CPU)
    wanted = said(prefilled(steps))
    first = prefilled(other)
    voice_image = RingImage.take(first.rings, 0, steps.voice_steps)
    batch = state(3)
    prefill = Prefill(LM, batch.rings, 2, steps)
    prefill.start_from(voice_image)
    assert prefill.taken == steps.voice_steps
    prefill.advance()
    batch.window.copy_row(2, steps.window, 0)
    whole = RingImage.take(batch.rings, 2, steps.steps)
    again = Prefill(LM, batch.rings, 0, steps)
    again.start_from(whole)
    assert again.done
    batch.window.copy_row(0, steps.window, 0)
    assert said(batch, row=2) == wanted
    assert said(batch, row=0) == wanted


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_bfloat16_models_and_rings_take_any_voice(voice: Voice) -> None:
    """As on a GPU: weights, keys and values in bfloat16; a voice's embeddings are float32."""
    lm, mimi = random_models("tiny", CPU, torch.bfloat16)
    one = EngineState.empty(1, CONFIG, mimi, device=CPU, dtype=torch.bfloat16)
    steps = prompt_steps(voice, TEXT, CONFIG.text_initial, CPU)
    prefill = Prefill(lm, one.rings, 0, steps)
    while not prefill.done:
        prefill.advance(4)
    one.window.copy_row(0, steps.window, 0)
    said = tick(lm, mimi, one, torch.zeros(1, 1920), ONE, reach_of(steps.steps, CONFIG.context))
    assert one.rings[0].keys.dtype == torch.bfloat16
    assert torch.isfinite(said.samples).all()
    assert said.tokens.shape == (1, 9)


@pytest.mark.parametrize("dtype", [torch.float32, NARROW])
def test_the_cache_keeps_to_its_bytes_and_drops_what_was_not_used(dtype: torch.dtype, monkeypatch) -> None:
    rings = [KVRing.empty(2, 3, 40, 4, CPU, dtype) for _ in range(2)]

    def size(steps: int) -> int:
        return RingImage.take(rings, 1, steps).byte_count

    cache, take = ImageCache(most_bytes=size(30)), RingImage.take

    def taken(rings: list[KVRing], slot: int, steps: int) -> RingImage:
        image = take(rings, slot, steps)
        assert cache.byte_count + image.byte_count <= cache.most_bytes  # while both are there, too
        return image

    monkeypatch.setattr(RingImage, "take", taken)
    for name in "abc":
        cache.keep(name, rings, 1, 10)
    assert cache.get("a") is not None
    cache.keep("d", rings, 1, 10)
    assert [name in cache for name in "abcd"] == [True, False, True, True]
    assert cache.get("b") is None
    cache.keep("d", rings, 1, 10)
    assert len(cache) == 3
    cache.keep("e", rings, 1, 25)
    assert [name in cache for name in "abcde"] == [False, False, False, False, True]
    cache.keep("f", rings, 1, 31)
    assert "f" not in cache
    assert cache.byte_count == take(rings, 1, 25).byte_count
    assert (cache.hits, cache.misses) == (1, 1)
    cache.keep("g", rings, 1, 30)
    assert (len(cache), cache.byte_count) == (1, cache.most_bytes)


def test_text_is_wrapped_once() -> None:
    assert wrap(" You are Dana. ") == "<system> You are Dana. <system>"
    assert wrap("<system> You are Dana. <system>") == "<system> You are Dana. <system>"
    assert wrap("  ") == ""


def test_a_voice_of_the_wrong_shape_is_named() -> None:
    assert check_voice(embedded_voice(), CONFIG.dim) == ""
    assert "not [frames, 4096]" in check_voice(embedded_voice(), 4096)
    assert "not [frames, 8]" in check_voice(Voice("c", codes=torch.zeros(3, 9)), CONFIG.dim)
    assert "not [17, 4]" in check_voice(
        Voice("c", embeddings=torch.zeros(3, CONFIG.dim), cache=torch.zeros(1, 17, 4)), CONFIG.dim
    )
    assert check_voice(Voice("c"), CONFIG.dim)
