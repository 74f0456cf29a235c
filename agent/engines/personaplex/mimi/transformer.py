"""Mimi's transformers, on both sides of the quantiser: two steps of 40 ms a frame."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agent.engines.personaplex.config import MimiConfig
from agent.engines.personaplex.mimi.conv import CodecState
from agent.engines.personaplex.model.layers import Fusable, Linear, module_list, rotation
from agent.engines.personaplex.model.temporal import Places, SelfAttention


class LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, more: Tensor) -> Tensor:
        """Add ``more``, scaled, to ``x``."""
        return torch.addcmul(x, self.scale, more)


class CodecLayer(nn.Module):
    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        width = config.dimension
        self.norm1 = nn.LayerNorm(width, eps=1e-5)
        self.self_attn = SelfAttention(width, config.num_heads)
        self.layer_scale_1 = LayerScale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-5)
        self.linear1 = Linear(width, config.dim_feedforward)
        self.linear2 = Linear(config.dim_feedforward, width)
        self.layer_scale_2 = LayerScale(width)


class _Layers(nn.Module):
    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.layers = module_list(CodecLayer(config) for _ in range(config.num_layers))


class CodecTransformer(Fusable):
    """[B, E, T] → [B, E, T], T steps written to the rings together, as the reference does."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = _Layers(config)

    def forward(self, latent: Tensor, state: CodecState) -> Tensor:
        x = latent.transpose(1, 2)
        taken = x.shape[1]
        steps = state.frames[:, None] * taken + torch.arange(taken, device=x.device)
        turn = rotation(steps, self.config.dimension // self.config.num_heads, self.config.rope_base)
        capacity = self.config.context
        fused = self.kernels is not None
        places = Places.written_together(steps, turn, state.live, capacity, capacity, fused=fused)
        for layer, ring in zip(self.transformer.layers, state.rings, strict=True):
            x = layer.layer_scale_1(x, layer.self_attn(layer.norm1(x), ring, places))
            x = layer.layer_scale_2(x, layer.linear2(F.gelu(layer.linear1(layer.norm2(x)))))
        return x.transpose(1, 2)
