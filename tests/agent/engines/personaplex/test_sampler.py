"""Draws follow the softmax of the top k, and depend on nothing but the slot's own seed, step and stream."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from agent.engines.personaplex.sampler import SamplingRows, gumbel, strongest

CPU = torch.device("cpu")


def rows(slots: int, temperature: float, top_k: int) -> SamplingRows:
    sampling = SamplingRows.greedy(slots, CPU)
    sampling.audio_temperature.fill_(temperature)
    sampling.text_temperature.fill_(temperature)
    sampling.audio_top_k.fill_(top_k)
    sampling.text_top_k.fill_(top_k)
    return sampling


def test_the_noise_is_gumbel() -> None:
    noise = gumbel(torch.arange(200), torch.arange(200) * 7, 3, torch.arange(100).expand(200, -1)).flatten().numpy()
    assert np.isfinite(noise).all()
    assert kstest(noise, "gumbel_r").pvalue > 1e-3
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.03


@pytest.mark.parametrize(("temperature", "top_k"), [(0.8, 250), (0.7, 5), (1.5, 1)])
def test_draws_follow_the_softmax_of_the_top_k(temperature: float, top_k: int) -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(1))
    sampling = rows(4000, temperature, top_k)
    sampling.drawn.copy_(torch.arange(4000))  # one slot's steps, side by side
    drawn = sampling.draw(2, logits.expand(4000, -1))
    kept = logits.topk(min(top_k, 12)).indices
    scaled = torch.full((12,), -torch.inf)
    scaled[kept] = logits[kept] / temperature
    wanted = scaled.double().softmax(0).numpy() * 4000
    found = np.bincount(drawn.numpy(), minlength=12)
    assert found[wanted == 0].sum() == 0
    if (wanted > 0).sum() > 1:
        assert chisquare(found[wanted > 0], wanted[wanted > 0] * found.sum() / wanted.sum()).pvalue > 1e-3


@given(seed=st.integers(0, 2**32), count=st.integers(1, 60), spread=st.sampled_from([1e-40, 1e-3, 1.0, 1e30]))
def test_the_strongest_are_the_first_of_all_in_order(seed: int, count: int, spread: float) -> None:
    logits = torch.randn(3, 60, generator=torch.Generator().manual_seed(seed)) * spread
    logits[0, 7], logits[0, 8], logits[1] = torch.inf, -torch.inf, logits[1].sign()  # what is equal keeps its order
    values, tokens = strongest(logits, count)
    wanted = logits.sort(dim=-1, descending=True, stable=True)
    assert torch.equal(values, wanted.values[:, :count])
    assert torch.equal(tokens, wanted.indices[:, :count])


def test_temperature_zero_is_greedy_and_each_slot_has_its_own() -> None:
    logits = torch.randn(300, 40, generator=torch.Generator().manual_seed(2))
    sampling = rows(300, 1.0, 40)
    sampling.text_temperature[::2] = 0
    drawn = sampling.draw(0, logits)
    assert torch.equal(drawn[::2], logits.argmax(-1)[::2])
    assert not torch.equal(drawn[1::2], logits.argmax(-1)[1::2])


def test_seed_step_and_stream_all_matter_and_neighbours_do_not() -> None:
    logits = torch.zeros(2, 200)
    sampling = rows(2, 1.0, 200)
    first = sampling.draw(1, logits)[0]
    sampling.seed[1] = 77
    sampling.drawn[1] = 5
    assert sampling.draw(1, logits)[0] == first
    draws = {int(sampling.draw(stream, logits)[0]) for stream in range(1, 9)}
    assert len(draws) > 4
    sampling.drawn += 1
    assert sampling.draw(1, logits)[0] != first
