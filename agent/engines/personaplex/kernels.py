"""Triton kernels for what a tick does between its matrix products; imported on a GPU only.

    x ─ rms_norm ─ product ─ keep ─ attend ─ product ─ + ─ rms_norm ─ product ─ gate ─ product ─ +
                              │       ▲
                              └ ring ─┘  8 bits are widened in registers, and each slot reads no more than it holds

A tick of some thousand short operations is bound by their number, not by their work. Every kernel computes what a
chain of torch's operations does elsewhere in this folder, rounds where it rounds, and is tested against it.
"""

# pyright: reportArgumentType=false
# Triton types what a kernel is compiled for as its own constexpr, and takes plain numbers.

import torch
import triton
import triton.language as tl
from torch import Tensor

from agent.engines.personaplex import sampler
from agent.engines.personaplex.state import NARROW_LEAST_SCALE, NARROW_MOST, KVRing

_GAMMA, _MIX_1, _MIX_2 = (tl.constexpr(value) for value in (sampler.GAMMA, sampler.MIX_1, sampler.MIX_2))

_BLOCK_ENTRIES = 64
_ENTRIES_A_SPLIT = 128
_PROGRAMS = 4_096
"""Programs of one attention that keep a large GPU evenly busy: one call's rings are split between many of them."""


# Of a ring ``parts[-1]`` are the scales; where there are none a kernel is told so, and does not touch what it gets.


def _check_dense(*tensors: Tensor) -> None:
    assert all(tensor.is_contiguous() for tensor in tensors), "kernels take tensors as they lie in memory"


def rms_norm(x: Tensor, alpha: Tensor, eps: float) -> Tensor:
    """See ``layers.RMSNorm``: [..., E] → the same."""
    return _normed(x, x, alpha, eps, is_added=False)[1]


def added_norm(x: Tensor, more: Tensor, alpha: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return ``x`` + ``more`` [..., E] and their norm."""
    return _normed(x, more, alpha, eps, is_added=True)


def _normed(x: Tensor, more: Tensor, alpha: Tensor, eps: float, *, is_added: bool) -> tuple[Tensor, Tensor]:
    _check_dense(x, more)
    total, out, width = torch.empty_like(x) if is_added else x, torch.empty_like(x), x.shape[-1]
    block = triton.next_power_of_2(width)
    _rms_norm[(x.numel() // width,)](x, more, alpha, total, out, eps, width, is_added, block)
    return total, out


@triton.jit
def _rms_norm(x, more, alpha, total, out, eps, E: tl.constexpr, ADDED: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * E
    at = tl.arange(0, BLOCK)
    inside = at < E
    wide = tl.load(x + row + at, mask=inside, other=0.0).to(tl.float32)
    if ADDED:
        both = (wide + tl.load(more + row + at, mask=inside, other=0.0).to(tl.float32)).to(total.dtype.element_ty)
        tl.store(total + row + at, both, mask=inside)
        wide = both.to(tl.float32)
    factor = tl.load(alpha + at, mask=inside, other=0.0).to(tl.float32)
    scale = factor * tl.rsqrt(eps + tl.sum(wide * wide) / E)
    tl.store(out + row + at, (wide * scale).to(out.dtype.element_ty), mask=inside)


def gate(both: Tensor) -> Tensor:
    """Gate and value stacked, [..., 2 F] → silu(gate) · value, [..., F]."""
    _check_dense(both)
    width = both.shape[-1] // 2
    out = both.new_empty(*both.shape[:-1], width)
    _gate[(both.numel() // (2 * width), triton.cdiv(width, 1024))](both, out, width, 1024)
    return out


@triton.jit
def _gate(both, out, F: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < F
    gates = tl.load(both + row * 2 * F + at, mask=inside, other=0.0).to(tl.float32)
    values = tl.load(both + row * 2 * F + F + at, mask=inside, other=0.0).to(tl.float32)
    opened = (gates / (1.0 + tl.exp(-gates))).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + row * F + at, (opened * values).to(out.dtype.element_ty), mask=inside)


def keep(split: Tensor, turn: Tensor, ring: KVRing, steps: Tensor) -> Tensor:
    """Turn queries and keys, write keys and values to the ring: see ``SelfAttention.keep``.

    Args:
        split: [B, T, 3 E], queries, keys and values.
        turn: [B, 1, T, D/2] complex64.
        steps: [B, T] int64.

    Returns:
        The queries, [B, T, H, D].
    """
    _check_dense(split, turn, steps, *ring.parts)
    slots, heads, capacity, width = ring.keys.shape
    count = split.shape[1]
    queries = split.new_empty(slots, count, heads, width)
    _keep[(slots * count, heads)](
        split, torch.view_as_real(turn), queries, ring.keys, ring.values, ring.parts[-1], steps,
        count, capacity, heads, width, triton.next_power_of_2(width),
        ring.scales is not None, NARROW_MOST, NARROW_LEAST_SCALE,
    )  # fmt: skip
    return queries


@triton.jit(do_not_specialize=["T"])
def _keep(
    split, turn, queries, keys, values, scales, steps,
    T, C: tl.constexpr, H: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr,
    NARROWED: tl.constexpr, MOST: tl.constexpr, LEAST: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    even, at = 2 * tl.arange(0, BLOCK // 2), tl.arange(0, BLOCK)
    inside = at < D
    cosine = tl.load(turn + row * D + even, mask=even < D, other=0.0)
    sine = tl.load(turn + row * D + even + 1, mask=even < D, other=0.0)
    source = split + row * 3 * H * D + head * D
    q = _turned(source + even, even < D, cosine, sine).to(split.dtype.element_ty)
    k = _turned(source + H * D + even, even < D, cosine, sine).to(split.dtype.element_ty)
    v = tl.load(source + 2 * H * D + at, mask=inside, other=0.0)
    tl.store(queries + row * H * D + head * D + at, q, mask=inside)
    entry = ((row // T) * H + head) * C + tl.load(steps + row) % C
    if NARROWED:
        _narrow(k, keys + entry * D + at, inside, scales + entry * 2, MOST, LEAST)
        _narrow(v, values + entry * D + at, inside, scales + entry * 2 + 1, MOST, LEAST)
    else:
        tl.store(keys + entry * D + at, k.to(keys.dtype.element_ty), mask=inside)
        tl.store(values + entry * D + at, v.to(values.dtype.element_ty), mask=inside)


@triton.jit
def _turned(pairs, inside, cosine, sine):
    even = tl.load(pairs, mask=inside, other=0.0).to(tl.float32)
    odd = tl.load(pairs + 1, mask=inside, other=0.0).to(tl.float32)
    return tl.interleave(even * cosine - odd * sine, even * sine + odd * cosine)


@triton.jit
def _narrow(x, place, inside, scale_place, MOST: tl.constexpr, LEAST: tl.constexpr):
    wide = x.to(tl.float32)
    scale = tl.maximum(tl.max(tl.abs(wide)) / MOST, LEAST).to(tl.bfloat16)
    tl.store(scale_place, scale)
    fitted = tl.clamp(wide / scale.to(tl.float32), -MOST, MOST)
    tl.store(place, fitted.to(place.dtype.element_ty), mask=inside)


def attend(queries: Tensor, ring: KVRing, steps: Tensor, held: Tensor) -> Tensor:
    """Attention of T steps that were just written together over what their slots' rings hold: see ``state.visible``.

    Args:
        queries: [B, T, H, D].
        steps: [B, T] int64.
        held: [B] int64, how many entries to read, from the first: 0 for a slot whose result nobody needs.

    Returns:
        [B, T, H · D]
    """
    _check_dense(queries, steps, held, *ring.parts)
    slots, count, heads, width = queries.shape
    capacity, programs = ring.capacity, slots * count * heads
    splits = max(1, min(_PROGRAMS // programs, capacity // _ENTRIES_A_SPLIT))
    parts = queries.new_empty(programs, splits, width, dtype=torch.float32)
    weights = queries.new_empty(programs, splits, 2, dtype=torch.float32)
    block = triton.next_power_of_2(width)
    _attend[(programs, splits)](
        queries, ring.keys, ring.values, ring.parts[-1], steps, held, parts, weights,
        width**-0.5, count, capacity, heads, width, block, splits, ring.scales is not None, _BLOCK_ENTRIES,
    )  # fmt: skip
    seen = torch.empty_like(queries)
    _join[(programs,)](parts, weights, seen, width, splits, block, triton.next_power_of_2(splits))
    return seen.flatten(2)


@triton.jit
def _attend(
    queries, keys, values, scales, steps, held, parts, weights,
    scale, T: tl.constexpr, C: tl.constexpr, H: tl.constexpr, D: tl.constexpr, WIDE: tl.constexpr, S: tl.constexpr,
    NARROWED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One head of one query over one split of the ring: its softmax's sum, largest score and weighted values."""
    program, split = tl.program_id(0).to(tl.int64), tl.program_id(1)
    slot, back, head = program // (T * H), T - 1 - (program // H) % T, program % H
    at, near = tl.arange(0, WIDE), tl.arange(0, BLOCK)
    q = tl.load(queries + program * D + at, mask=at < D, other=0.0).to(tl.float32) * scale
    last, count = tl.load(steps + slot * T + T - 1), tl.load(held + slot)
    size = tl.cdiv(tl.cdiv(count, S), BLOCK) * BLOCK
    ring = (slot * H + head) * C
    most, total, mixed = -float("inf"), 0.0, tl.zeros([WIDE], tl.float32)
    for begin in range(split * size, tl.minimum(count, (split + 1) * size), BLOCK):
        entries = begin + near
        inside = entries < count
        # How many steps before the newest an entry's is: like the reference, the oldest of a full ring is not seen.
        age = (last - entries + C) % C
        is_seen = inside & (age >= back) & (age <= C - 2) & (age <= last)
        place, filled = (ring + entries[:, None]) * D + at[None, :], inside[:, None] & (at < D)[None, :]
        k = tl.load(keys + place, mask=filled, other=0.0)
        v = tl.load(values + place, mask=filled, other=0.0)
        scores = tl.sum(k.to(tl.float32) * q[None, :], axis=1)
        if NARROWED:
            scores *= tl.load(scales + (ring + entries) * 2, mask=inside, other=0.0).to(tl.float32)
        scores = tl.where(is_seen, scores, -float("inf"))
        highest = tl.maximum(most, tl.max(scores))
        # Nothing seen so far: differences of infinities would be no numbers.
        against = tl.where(highest == -float("inf"), 0.0, highest)
        share = tl.exp(scores - against)
        fading = tl.exp(most - against)
        total = total * fading + tl.sum(share)
        if NARROWED:
            share *= tl.load(scales + (ring + entries) * 2 + 1, mask=inside, other=0.0).to(tl.float32)
        mixed = mixed * fading + tl.sum(v.to(tl.float32) * share[:, None], axis=0)
        most = highest
    part = program * S + split
    tl.store(parts + part * D + at, mixed, mask=at < D)
    tl.store(weights + part * 2, most)
    tl.store(weights + part * 2 + 1, total)


@triton.jit
def _join(parts, weights, seen, D: tl.constexpr, S: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    program = tl.program_id(0).to(tl.int64)
    at, split = tl.arange(0, WIDE), tl.arange(0, BLOCK)
    inside, filled = split < S, (split < S)[:, None] & (at < D)[None, :]
    part = program * S + split
    most = tl.load(weights + part * 2, mask=inside, other=-float("inf"))
    total = tl.load(weights + part * 2 + 1, mask=inside, other=0.0)
    highest = tl.max(most)
    share = tl.exp(most - tl.where(highest == -float("inf"), 0.0, highest))
    mixed = tl.load(parts + part[:, None] * D + at[None, :], mask=filled, other=0.0)
    whole = tl.sum(total * share)
    result = tl.sum(mixed * share[:, None], axis=0) / tl.where(whole == 0.0, 1.0, whole)
    tl.store(seen + program * D + at, result.to(seen.dtype.element_ty), mask=at < D)


def attend_depth(split: Tensor, past: Tensor, k: int) -> Tensor:
    """Attention of codebook ``k`` over those so far: see ``depth.DepthAttention``.

    Args:
        split: [B, 3 E], the query, key and value.
        past: [B, 2, H, 8, D], takes the key and the value.
    """
    _check_dense(split, past)
    slots, _, heads, books, width = past.shape
    seen = split.new_empty(slots, heads * width)
    _attend_depth[(slots, heads)](split, past, seen, width**-0.5, k, heads, width, triton.next_power_of_2(width), books)
    return seen


@triton.jit(do_not_specialize=["k"])
def _attend_depth(
    split, past, seen, scale, k, H: tl.constexpr, D: tl.constexpr, WIDE: tl.constexpr, K: tl.constexpr
):  # fmt: skip
    slot, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at, book = tl.arange(0, WIDE), tl.arange(0, K)
    inside = at < D
    source = split + slot * 3 * H * D + head * D + at
    q = tl.load(source, mask=inside, other=0.0).to(tl.float32) * scale
    key = tl.load(source + H * D, mask=inside, other=0.0)
    value = tl.load(source + 2 * H * D, mask=inside, other=0.0)
    keys = past + (slot * 2 * H + head) * K * D
    values = keys + H * K * D
    tl.store(keys + k * D + at, key, mask=inside)
    tl.store(values + k * D + at, value, mask=inside)
    before, is_now = (book < k)[:, None] & inside[None, :], (book == k)[:, None]
    place = book[:, None] * D + at[None, :]
    # What was just stored is taken from registers: other threads' stores may not be seen yet.
    held = tl.where(is_now, key[None, :], tl.load(keys + place, mask=before, other=0.0)).to(tl.float32)
    scores = tl.where(book <= k, tl.sum(held * q[None, :], axis=1), -float("inf"))
    share = tl.exp(scores - tl.max(scores))
    kept = tl.where(is_now, value[None, :], tl.load(values + place, mask=before, other=0.0)).to(tl.float32)
    mixed = tl.sum(kept * share[:, None], axis=0) / tl.sum(share)
    tl.store(seen + slot * H * D + head * D + at, mixed.to(seen.dtype.element_ty), mask=inside)


def draw(
    values: Tensor, tokens: Tensor, temperature: Tensor, top_k: Tensor, seed: Tensor, step: Tensor, stream: int
) -> Tensor:
    """Draw from the strongest: see ``SamplingRows.draw``; values [B, K] float32, tokens [B, K] int64 → [B] int64."""
    _check_dense(values, tokens)
    slots, count = values.shape
    drawn = torch.empty(slots, dtype=torch.int64, device=values.device)
    block = triton.next_power_of_2(count)
    _draw[(slots,)](values, tokens, temperature, top_k, seed, step, drawn, stream, count, block)
    return drawn


@triton.jit(do_not_specialize=["stream"])
def _draw(
    values, tokens, temperature, top_k, seed, step, drawn, stream, K: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    slot = tl.program_id(0)
    rank = tl.arange(0, BLOCK)
    inside = rank < K
    value = tl.load(values + slot * K + rank, mask=inside, other=-float("inf"))
    token = tl.load(tokens + slot * K + rank, mask=inside, other=0)
    warmth, kept = tl.load(temperature + slot), tl.load(top_k + slot)
    is_greedy = warmth <= 0
    noise = _gumbel(tl.load(seed + slot), tl.load(step + slot), stream, token)
    noisy = value / tl.where(is_greedy, 1.0, warmth) + noise
    noisy = tl.where(inside & (rank < kept), noisy, -float("inf"))
    place = tl.where(is_greedy, 0, tl.argmax(noisy, axis=0))
    tl.store(drawn + slot, tl.load(tokens + slot * K + place))


@triton.jit
def _gumbel(seed, step, stream, tokens):
    """See ``sampler.gumbel``."""
    place = _mix(_mix(seed * _GAMMA + step) + (stream.to(tl.int64) << 32))
    bits = _mix(place + tokens * _GAMMA) & 0x7FFFFF
    uniform = (bits.to(tl.float32) + 0.5) * 2.0**-23  # a division could round up to 1
    return -tl.log(-tl.log(uniform))


@triton.jit
def _mix(x):
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX_1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)
