"""Mimi: 1 920 samples at 24 kHz ↔ eight codes, frame by frame, many slots at once.

samples ─▶ SEANet encoder ─▶ transformer ─▶ downsample ─▶ quantiser ─▶ codes
samples ◀─ SEANet decoder ◀─ transformer ◀─ upsample   ◀─ quantiser ◀─ codes
"""

import torch
from torch import Tensor, nn

from agent.engines.personaplex.config import MimiConfig
from agent.engines.personaplex.mimi import seanet
from agent.engines.personaplex.mimi.conv import CodecState, StreamingConv, StreamingConvTranspose, number_tails
from agent.engines.personaplex.mimi.quantizer import SplitQuantizer
from agent.engines.personaplex.mimi.transformer import CodecTransformer
from agent.engines.personaplex.state import KVRing


class _Down(nn.Module):
    """The checkpoint wraps the resampling layers once more: ``downsample.conv.…``, ``upsample.convtr.…``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = StreamingConv(width, width, 4, 2, bias=False, replicate=True)


class _Up(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.convtr = StreamingConvTranspose(width, width, 2, groups=width, bias=False)


class Mimi(nn.Module):
    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        width = config.dimension
        self.config = config
        self.encoder = seanet.encoder(config)
        self.encoder_transformer = CodecTransformer(config)
        self.downsample = _Down(width)
        self.quantizer = SplitQuantizer(config)
        self.upsample = _Up(width)
        self.decoder_transformer = CodecTransformer(config)
        self.decoder = seanet.decoder(config)
        self._encoder_tails = number_tails(nn.ModuleList([self.encoder, self.downsample]))
        self._decoder_tails = number_tails(nn.ModuleList([self.upsample, self.decoder]))

    def encoder_state(self, slots: int) -> CodecState:
        return self._state(slots, self._encoder_tails)

    def decoder_state(self, slots: int) -> CodecState:
        return self._state(slots, self._decoder_tails)

    def _state(self, slots: int, tails: list[tuple[int, int]]) -> CodecState:
        weight = next(self.parameters())
        config = self.config
        head = config.dimension // config.num_heads
        ring = (slots, config.num_heads, config.context, head, weight.device, weight.dtype)
        return CodecState(
            tails=[torch.zeros(slots, *shape, device=weight.device, dtype=weight.dtype) for shape in tails],
            rings=[KVRing.empty(*ring) for _ in range(config.num_layers)],
            frames=torch.zeros(slots, dtype=torch.int64, device=weight.device),
            live=torch.ones(slots, dtype=torch.bool, device=weight.device),
        )

    def encode(self, samples: Tensor, state: CodecState, live: Tensor) -> Tensor:
        """Take one frame of each live slot, [B, 1 920] in [-1, 1] → codes [B, 8] int64; others' are meaningless."""
        state.live.copy_(live)
        latent = self.encoder_transformer(self.encoder(samples[:, None], state), state)
        codes = self.quantizer.encode(self.downsample.conv(latent, state))
        state.frames += live
        return codes[:, :, 0]

    def decode(self, codes: Tensor, state: CodecState, live: Tensor) -> Tensor:
        """Turn one frame of codes of each live slot, [B, 8], into samples [B, 1 920]."""
        state.live.copy_(live)
        latent = self.upsample.convtr(self.quantizer.decode(codes[:, :, None]), state)
        samples = self.decoder(self.decoder_transformer(latent, state), state)
        state.frames += live
        return samples[:, 0]
