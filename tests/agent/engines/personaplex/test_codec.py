"""Convolutions frame by frame are convolutions over the whole signal, laid out for a CPU or not."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from agent.engines.personaplex.mimi.conv import CodecState, StreamingConv, StreamingConvTranspose, number_tails

SLOTS, FRAMES = 3, 4
Conv = StreamingConv | StreamingConvTranspose


def state_of(conv: Conv) -> CodecState:
    tails = [torch.zeros(SLOTS, *shape) for shape in number_tails(conv)]
    return CodecState(tails, [], torch.zeros(SLOTS, dtype=torch.int64), torch.ones(SLOTS, dtype=torch.bool))


def stream(conv: Conv, x: Tensor) -> Tensor:
    """Take ``x`` [B, C, N] in frames; between any two, no slot is live and all hear something else."""
    state, said = state_of(conv), []
    for frame in x.chunk(FRAMES, dim=2):
        state.live.fill_(True)
        said.append(conv(frame, state))
        if conv.index >= 0:
            state.live.zero_()
            conv(torch.ones_like(frame), state)
    return torch.cat(said, dim=2)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("cin", "cout", "kernel", "stride"), [(1, 6, 7, 1), (5, 4, 3, 1), (4, 6, 1, 1), (5, 7, 8, 4)])
@torch.no_grad()
def test_a_convolution_streams(cin: int, cout: int, kernel: int, stride: int, packed: bool) -> None:
    torch.manual_seed(1)
    conv, x = StreamingConv(cin, cout, kernel, stride), torch.randn(SLOTS, cin, 24 * FRAMES)
    weight, bias = conv.layer.weight.clone(), conv.layer.bias
    wanted = F.conv1d(F.pad(x, (kernel - stride, 0)), weight, bias, stride)
    if packed:
        conv.settle()
    torch.testing.assert_close(stream(conv, x), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("cin", "cout", "stride", "groups", "bias"), [(6, 4, 3, 1, True), (6, 6, 2, 6, False)])
@torch.no_grad()
def test_a_transposed_convolution_streams(
    cin: int, cout: int, stride: int, groups: int, bias: bool, packed: bool
) -> None:
    torch.manual_seed(2)
    conv = StreamingConvTranspose(cin, cout, stride, groups=groups, bias=bias)
    x = torch.randn(SLOTS, cin, 5 * FRAMES)
    wanted = conv.layer(x)[:, :, :-stride]
    if packed:
        conv.settle()
    torch.testing.assert_close(stream(conv, x), wanted, rtol=1e-4, atol=1e-5)
