"""The language model of one step: 17 tokens in, the agent's text and eight codebooks out."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from agent.engines.personaplex.config import CODEBOOKS, STREAMS, LMConfig
from agent.engines.personaplex.model.depth import DepthTransformer
from agent.engines.personaplex.model.layers import Linear, RMSNorm, module_list
from agent.engines.personaplex.model.temporal import TemporalTransformer
from agent.engines.personaplex.state import KVRing

Chooser = Callable[[int, Tensor], Tensor]
"""Draws a token: (stream 0 … 8, logits [B, V] float32) → tokens [B] int64."""


def embed(table: nn.Embedding, tokens: Tensor) -> Tensor:
    """Look tokens up; -1 gives zeros."""
    return table(tokens.clamp(min=0)) * (tokens >= 0).unsqueeze(-1)


class PersonaPlexLM(nn.Module):
    """Parameter names and shapes are the checkpoint's, but for the depth steps that are never heard."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        dim, depth, audio = config.dim, config.depformer_dim, config.audio_card
        self.emb = module_list(nn.Embedding(audio + 1, dim) for _ in range(STREAMS - 1))
        self.text_emb = nn.Embedding(config.text_card + 1, dim)
        self.transformer = TemporalTransformer(config)
        self.out_norm = RMSNorm(dim)
        self.text_linear = Linear(dim, config.text_card)
        self.depformer_in = module_list(Linear(dim, depth) for _ in range(CODEBOOKS))
        self.depformer_text_emb = nn.Embedding(config.text_card + 1, depth)
        self.depformer_emb = module_list(nn.Embedding(audio + 1, depth) for _ in range(CODEBOOKS - 1))
        self.depformer = DepthTransformer(config)
        self.linears = module_list(Linear(depth, audio) for _ in range(CODEBOOKS))

    def embed(self, tokens: Tensor) -> Tensor:
        """Sum the embeddings of all streams: [B, 17, T] int64 → [B, T, E]."""
        total = embed(self.text_emb, tokens[:, 0])
        for stream, table in enumerate(self.emb, start=1):
            total = total + embed(table, tokens[:, stream])
        return total

    def temporal(self, x: Tensor, rings: Sequence[KVRing], first: Tensor, reach: int) -> Tensor:
        """[B, T, E] → normed states [B, T, E]; see TemporalTransformer.forward."""
        return self.out_norm(self.transformer(x, rings, first, reach))

    def text_logits(self, state: Tensor) -> Tensor:
        """[B, E] → [B, V] float32."""
        return self.text_linear(state).float()

    def speak(self, state: Tensor, text: Tensor, choose: Chooser) -> Tensor:
        """Draw the eight codebooks of one frame from the temporal state [B, E] and text token [B] → [B, 8]."""
        drawn: list[Tensor] = []

        def inputs(k: int) -> Tensor:
            before = embed(self.depformer_emb[k - 1], drawn[-1]) if k else embed(self.depformer_text_emb, text)
            return self.depformer_in[k](state) + before

        def draw(k: int, x: Tensor) -> None:
            drawn.append(choose(k + 1, self.linears[k](x).float()))

        self.depformer(inputs, draw)
        return torch.stack(drawn, dim=1)
