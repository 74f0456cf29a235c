"""Split residual vector quantiser: one semantic codebook and the rest, both over the same latent."""

import torch
from torch import Tensor, nn

from agent.engines.personaplex.config import CODEBOOKS, MimiConfig
from agent.engines.personaplex.model.layers import Settled, module_list, packed, product


class Codebook(Settled):
    """Vectors are kept as running sums, as in training: vector = sum / usage."""

    embedding_sum: Tensor
    cluster_usage: Tensor
    vectors: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("embedding_sum", torch.zeros(size, width))
        self.register_buffer("cluster_usage", torch.ones(size))
        self.register_buffer("vectors", torch.zeros(size, width), persistent=False)

    def settle(self) -> None:
        """Compute the vectors once the sums are loaded; usage is clamped at 1e-5."""
        self.vectors = self.embedding_sum / self.cluster_usage.clamp(min=1e-5)[:, None]
        self.matrix = packed(self.vectors)
        self.squares = self.vectors.square().sum(dim=1)

    def nearest(self, x: Tensor) -> Tensor:
        """[B, T, W] → index of the nearest vector (Euclidean) [B, T]."""
        # |x - v|² less |x|², which is the same for all of them.
        return (self.squares - 2 * product(x, self.matrix)).argmin(dim=-1)


class _Projection(Settled):
    """[B, T, in] → [B, T, out]; in the checkpoint a convolution of width 1."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(cout, cin, 1))

    def settle(self) -> None:
        self.matrix = packed(self.weight[:, :, 0])
        del self.weight

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.matrix)


class _Layer(nn.Module):
    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self._codebook = Codebook(size, width)

    @property
    def codebook(self) -> Codebook:
        return self._codebook


class _Stack(nn.Module):
    def __init__(self, count: int, size: int, width: int) -> None:
        super().__init__()
        self.layers = module_list(_Layer(size, width) for _ in range(count))


class ResidualQuantizer(nn.Module):
    """Codebooks that each quantise what the ones before left over; 1x1 projections in and out."""

    def __init__(self, count: int, config: MimiConfig) -> None:
        super().__init__()
        self.input_proj = _Projection(config.dimension, config.codebook_dim)
        self.output_proj = _Projection(config.codebook_dim, config.dimension)
        self.vq = _Stack(count, config.codebook_size, config.codebook_dim)

    def encode(self, latent: Tensor) -> list[Tensor]:
        """[B, E, T] → codes, [B, T] a codebook."""
        left = self.input_proj(latent.transpose(1, 2))
        codes = []
        for layer in self.vq.layers:
            codes.append(layer.codebook.nearest(left))
            left = left - layer.codebook.vectors[codes[-1]]
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """[B, K, T] → [B, E, T]."""
        total = torch.stack([layer.codebook.vectors[codes[:, k]] for k, layer in enumerate(self.vq.layers)]).sum(0)
        return self.output_proj(total).transpose(1, 2)


class SplitQuantizer(nn.Module):
    """The checkpoint's 32 codebooks, of which the first eight are kept: no more are ever spoken or heard."""

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.rvq_first = ResidualQuantizer(1, config)
        self.rvq_rest = ResidualQuantizer(CODEBOOKS - 1, config)

    def encode(self, latent: Tensor) -> Tensor:
        """[B, E, T] → [B, 8, T] int64."""
        return torch.stack(self.rvq_first.encode(latent) + self.rvq_rest.encode(latent), dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """[B, 8, T] int64 → [B, E, T]."""
        return self.rvq_first.decode(codes[:, :1]) + self.rvq_rest.decode(codes[:, 1:])
