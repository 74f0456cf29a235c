"""Causal convolutions that keep their tail in a MimiState; parameter names are the checkpoint's."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agent.engines.personaplex.model.layers import Settled, packed, packs, product
from agent.engines.personaplex.state import KVRing, Stream


@dataclass(slots=True)
class CodecState(Stream):
    """One side of the codec (encoder or decoder), B slots.

    ``tails``: what each convolution keeps of the past, [B, channels, samples]. ``rings``: the transformer's.
    ``frames``: [B] int64, frames taken. ``live``: [B] bool, which slots this call moves; set before each call.
    """

    tails: list[Tensor]
    rings: list[KVRing]
    frames: Tensor
    live: Tensor

    def join(self, index: int, tail: Tensor, x: Tensor, *, by_sample: bool) -> Tensor:
        """Put a convolution's tail before ``x`` [B, C, N], and keep the end of both for the live slots.

        Args:
            tail: what stands before ``x``; as long as what is kept.
            by_sample: let the result lie in memory as [B, N, C].
        """
        old = self.tails[index]
        joined = torch.cat((tail.mT, x.mT), dim=1).mT if by_sample else torch.cat((tail, x), dim=2)
        old.copy_(torch.where(self.live[:, None, None], joined[:, :, -old.shape[2] :], old))
        return joined


class _Named(nn.Module):
    """The checkpoint wraps each convolution once more: ``conv.conv.weight``."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.add_module(name, layer)


class StreamingConv(Settled):
    """[B, Cin, N] → [B, Cout, N / stride]; N is a multiple of the stride.

    In float32 on a CPU it is a product of a matrix with windows, [B, N, C] in memory: half the time of torch's
    convolution for eight slots. Elementwise layers in between keep that order in memory.
    """

    def __init__(
        self, cin: int, cout: int, kernel: int, stride: int = 1, *, bias: bool = True, replicate: bool = False
    ) -> None:
        super().__init__()
        self.conv = _Named("conv", nn.Conv1d(cin, cout, kernel, stride, bias=bias))
        self.tail_shape = (cin, kernel - stride)
        self.kernel, self.stride = kernel, stride
        self.replicate = replicate
        self.index = -1
        self.matrix = self.bias = None

    @property
    def layer(self) -> nn.Conv1d:
        return self.conv.conv  # pyright: ignore[reportReturnType]

    def settle(self) -> None:
        layer = self.layer
        if packs(layer.weight):
            self.matrix, self.bias = packed(layer.weight.transpose(1, 2).flatten(1)), layer.bias  # [Cout, kernel · Cin]
            del self.conv

    def forward(self, x: Tensor, state: CodecState) -> Tensor:
        if self.index >= 0:
            tail = state.tails[self.index]
            if self.replicate:
                tail = torch.where((state.frames == 0)[:, None, None], x[:, :, :1].expand_as(tail), tail)
            x = state.join(self.index, tail, x, by_sample=self.matrix is not None)
        if self.matrix is None:
            return self.layer(x)
        return product(windows(x.mT, self.kernel, self.stride), self.matrix, self.bias).mT


class StreamingConvTranspose(Settled):
    """[B, Cin, N] → [B, Cout, N · stride], with a kernel of twice the stride.

    A sample in makes two strides of samples out, the second of which overlaps with what the next sample makes: what
    comes out depends on two samples, and all that is kept is the last of them. On a CPU a product, as in StreamingConv.
    """

    def __init__(self, cin: int, cout: int, stride: int, *, groups: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.convtr = _Named("convtr", nn.ConvTranspose1d(cin, cout, 2 * stride, stride, groups=groups, bias=bias))
        self.tail_shape = (cin, 1)
        self.stride = stride
        self.index = -1
        self.matrix = self.bias = None

    @property
    def layer(self) -> nn.ConvTranspose1d:
        return self.convtr.convtr  # pyright: ignore[reportReturnType]

    def settle(self) -> None:
        layer, stride = self.layer, self.stride
        if packs(layer.weight) and layer.groups == 1:
            earlier_first = layer.weight.unflatten(2, (2, stride)).flip(2)  # [Cin, Cout, 2, stride]
            self.matrix = packed(earlier_first.permute(3, 1, 2, 0).flatten(2).flatten(0, 1))  # [stride · Cout, 2 · Cin]
            self.bias = None if layer.bias is None else nn.Parameter(layer.bias.repeat(stride), requires_grad=False)
            del self.convtr

    def forward(self, x: Tensor, state: CodecState) -> Tensor:
        stride = self.stride
        x = state.join(self.index, state.tails[self.index], x, by_sample=self.matrix is not None)
        if self.matrix is None:
            return self.layer(x)[:, :, stride:-stride]
        return product(windows(x.mT, 2, 1), self.matrix, self.bias).unflatten(2, (stride, -1)).flatten(1, 2).mT


def windows(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Lay windows of ``kernel`` samples out as rows: [B, N, C], dense → [B, (N - kernel) / stride + 1, kernel · C]."""
    if kernel == 1:
        return x
    slots, samples, channels = x.shape
    shape = (slots, (samples - kernel) // stride + 1, kernel * channels)
    return x.as_strided(shape, (samples * channels, stride * channels, 1)).contiguous()


def number_tails(module: nn.Module) -> list[tuple[int, int]]:
    """Give each streaming layer of ``module`` its place in ``CodecState.tails``; return their shapes [C, N]."""
    shapes: list[tuple[int, int]] = []
    for layer in module.modules():
        if isinstance(layer, StreamingConv | StreamingConvTranspose) and layer.tail_shape[1] > 0:
            layer.index = len(shapes)
            shapes.append(layer.tail_shape)
    return shapes
