"""The language model of one step: 17 tokens in, the agent's text and eight codebooks out."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agent.engines.personaplex.config import CODEBOOKS, STREAMS, LMConfig
from agent.engines.personaplex.model.depth import DepthTransformer
from agent.engines.personaplex.model.layers import Fusable, Linear, Lookup, RMSNorm, Settled, module_list, with_zeros
from agent.engines.personaplex.model.temporal import TemporalTransformer
from agent.engines.personaplex.state import KVRing

Chooser = Callable[[int, Tensor], Tensor]
"""Draws a token: (stream 0 … 8, logits [B, V] float32) → tokens [B] int64."""


class PersonaPlexLM(Settled, Fusable):
    """Parameter names and shapes are the checkpoint's, but for the depth steps that are never heard."""

    table: nn.Parameter
    sizes: Tensor
    starts: Tensor

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        dim, depth, audio = config.dim, config.depformer_dim, config.audio_card
        self.text_emb = nn.Embedding(config.text_card + 1, dim)
        self.emb = module_list(nn.Embedding(audio + 1, dim) for _ in range(STREAMS - 1))
        self.transformer = TemporalTransformer(config)
        self.out_norm = RMSNorm(dim)
        self.text_linear = Linear(dim, config.text_card)
        self.depformer_in = module_list(Linear(dim, depth) for _ in range(CODEBOOKS))
        self.depformer_text_emb = Lookup(config.text_card + 1, depth)
        self.depformer_emb = module_list(Lookup(audio + 1, depth) for _ in range(CODEBOOKS - 1))
        self.depformer = DepthTransformer(config)
        self.linears = module_list(Linear(depth, audio) for _ in range(CODEBOOKS))

    def settle(self) -> None:
        """Put the tables of all streams under one another, to be looked up at once."""
        tables = [self.text_emb.weight, *(table.weight for table in self.emb)]
        sizes = torch.tensor([[len(table) + 1] for table in tables])
        self.table = nn.Parameter(torch.cat([with_zeros(table) for table in tables]), requires_grad=False)
        self.register_buffer("sizes", sizes.to(self.table.device), persistent=False)
        self.register_buffer("starts", (sizes.cumsum(0) - sizes).to(self.table.device), persistent=False)
        del self.text_emb, self.emb

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in, once settled."""
        return self.table.dtype

    def embed(self, tokens: Tensor) -> Tensor:
        """Sum the embeddings of all streams: [B, 17, T] int64 → [B, T, E]; -1 gives zeros."""
        return F.embedding(tokens % self.sizes + self.starts, self.table).sum(dim=1)

    def temporal(self, x: Tensor, rings: Sequence[KVRing], first: Tensor, live: Tensor, reach: int) -> Tensor:
        """[B, T, E] → normed states [B, T, E]; see TemporalTransformer.forward."""
        return self.out_norm(self.transformer(x, rings, first, live, reach))

    def text_logits(self, state: Tensor) -> Tensor:
        """[B, E] → [B, V] float32."""
        return self.text_linear(state).float()

    def speak(self, state: Tensor, text: Tensor, choose: Chooser) -> Tensor:
        """Draw the eight codebooks of one frame from the temporal state [B, E] and text token [B] → [B, 8]."""
        drawn: list[Tensor] = []

        def inputs(k: int) -> Tensor:
            before = self.depformer_emb[k - 1](drawn[-1]) if k else self.depformer_text_emb(text)
            return self.depformer_in[k](state) + before

        def draw(k: int, x: Tensor) -> None:
            drawn.append(choose(k + 1, self.linears[k](x).float()))

        self.depformer(inputs, draw)
        return torch.stack(drawn, dim=1)
