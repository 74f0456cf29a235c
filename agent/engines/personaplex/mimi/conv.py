"""Causal convolutions that keep their tail in a MimiState; parameter names are the checkpoint's."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

    def keep(self, index: int, tail: Tensor) -> None:
        """Store a convolution's new tail for the live slots."""
        old = self.tails[index]
        old.copy_(torch.where(self.live[:, None, None], tail, old))


class _Named(nn.Module):
    """The checkpoint wraps each convolution once more: ``conv.conv.weight``."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.add_module(name, layer)


class StreamingConv(nn.Module):
    """[B, Cin, N] → [B, Cout, N / stride]; N is a multiple of the stride."""

    def __init__(
        self, cin: int, cout: int, kernel: int, stride: int = 1, *, bias: bool = True, replicate: bool = False
    ) -> None:
        super().__init__()
        self.conv = _Named("conv", nn.Conv1d(cin, cout, kernel, stride, bias=bias))
        self.tail_shape = (cin, kernel - stride)
        self.replicate = replicate
        self.index = -1

    @property
    def layer(self) -> nn.Conv1d:
        return self.conv.conv  # pyright: ignore[reportReturnType]

    def forward(self, x: Tensor, state: CodecState) -> Tensor:
        if self.index < 0:
            return self.layer(x)
        tail = state.tails[self.index]
        if self.replicate:
            tail = torch.where((state.frames == 0)[:, None, None], x[:, :, :1].expand_as(tail), tail)
        joined = torch.cat((tail, x), dim=2)
        state.keep(self.index, joined[:, :, -tail.shape[2] :])
        return self.layer(joined)


class StreamingConvTranspose(nn.Module):
    """[B, Cin, N] → [B, Cout, N · stride] by overlap and add."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, *, groups: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.convtr = _Named("convtr", nn.ConvTranspose1d(cin, cout, kernel, stride, groups=groups, bias=bias))
        self.tail_shape = (cout, kernel - stride)
        self.index = -1

    @property
    def layer(self) -> nn.ConvTranspose1d:
        return self.convtr.convtr  # pyright: ignore[reportReturnType]

    def forward(self, x: Tensor, state: CodecState) -> Tensor:
        layer = self.layer
        whole = F.conv_transpose1d(x, layer.weight, None, layer.stride, groups=layer.groups)
        tail = state.tails[self.index]
        overlap = tail.shape[2]
        whole[:, :, :overlap] += tail
        state.keep(self.index, whole[:, :, -overlap:])
        out = whole[:, :, :-overlap]
        return out if layer.bias is None else out + layer.bias[None, :, None]


def number_tails(module: nn.Module) -> list[tuple[int, int]]:
    """Give each streaming layer of ``module`` its place in ``CodecState.tails``; return their shapes [C, N]."""
    shapes: list[tuple[int, int]] = []
    for layer in module.modules():
        if isinstance(layer, StreamingConv | StreamingConvTranspose) and layer.tail_shape[1] > 0:
            layer.index = len(shapes)
            shapes.append(layer.tail_shape)
    return shapes
