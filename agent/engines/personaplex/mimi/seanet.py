"""SEANet: the convolutional encoder and decoder around Mimi's transformers (EnCodec, arXiv 2210.13438)."""

from torch import Tensor, nn
from torch.nn import functional as F

from agent.engines.personaplex.config import MimiConfig
from agent.engines.personaplex.mimi.conv import CodecState, StreamingConv, StreamingConvTranspose


class Elu(nn.Module):
    def forward(self, x: Tensor, _state: CodecState) -> Tensor:
        return F.elu(x)


class Residual(nn.Module):
    def __init__(self, width: int, config: MimiConfig) -> None:
        super().__init__()
        inner = width // config.compress
        first = StreamingConv(width, inner, config.residual_kernel)
        self.block = nn.ModuleList([Elu(), first, Elu(), StreamingConv(inner, width, 1)])

    def forward(self, x: Tensor, state: CodecState) -> Tensor:
        inner = x
        for layer in self.block:
            inner = layer(inner, state)
        return x + inner


class Chain(nn.Module):
    """Layers one after another, named ``model.{i}`` as in the checkpoint."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.model = nn.ModuleList(layers)

    def forward(self, x: Tensor, state: CodecState) -> Tensor:
        for layer in self.model:
            x = layer(x, state)
        return x


def encoder(config: MimiConfig) -> Chain:
    """[B, 1, 1 920] samples → [B, E, 2] latents."""
    width = config.n_filters
    layers: list[nn.Module] = [StreamingConv(1, width, config.kernel)]
    for ratio in reversed(config.ratios):
        layers += [Residual(width, config), Elu(), StreamingConv(width, 2 * width, 2 * ratio, ratio)]
        width *= 2
    layers += [Elu(), StreamingConv(width, config.dimension, config.last_kernel)]
    return Chain(layers)


def decoder(config: MimiConfig) -> Chain:
    """[B, E, 2] latents → [B, 1, 1 920] samples."""
    width = config.n_filters * 2 ** len(config.ratios)
    layers: list[nn.Module] = [StreamingConv(config.dimension, width, config.kernel)]
    for ratio in config.ratios:
        layers += [Elu(), StreamingConvTranspose(width, width // 2, ratio), Residual(width // 2, config)]
        width //= 2
    layers += [Elu(), StreamingConv(width, 1, config.last_kernel)]
    return Chain(layers)
