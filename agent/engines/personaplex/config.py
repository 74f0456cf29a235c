"""Shapes of the language model and of the codec; the defaults are the published checkpoint's."""

from dataclasses import dataclass

CODEBOOKS = 8
"""Active codebooks of one speaker: what is heard of each 80 ms."""

STREAMS = 1 + 2 * CODEBOOKS
"""Token streams of one step: the agent's text, the agent's codebooks, the caller's codebooks."""

DELAYS = (0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1)
"""By how many frames each stream lags behind the frame it belongs to."""

MAX_DELAY = max(DELAYS)

TOKEN_COLUMNS = MAX_DELAY + 3
"""Columns of the token window; what a voice file's ``cache`` [1, 17, 4] replaces."""

AUDIO_CARD = 2_048
AUDIO_INITIAL = 2_048
ZERO_TOKEN = -1
TEXT_END_OF_PADDING = 0
TEXT_PADDING = 3

SINE_CODES = (430, 1268, 381, 1611, 1095, 1495, 56, 472)
"""What the caller's streams carry during the role prompt: a 440 Hz sine."""

SILENCE_CODES = (948, 243, 1178, 546, 1736, 1030, 1978, 2008)
SILENCE_FRAMES = 6


def gated_width(width: int, scale: float) -> int:
    """Return the inner width of a gated feed-forward layer: two thirds of ``scale`` times the width."""
    return 2 * int(scale * width) // 3


@dataclass(frozen=True, slots=True)
class LMConfig:
    """The temporal and the depth transformer. ``context`` is the capacity of a slot's rings, in steps."""

    dim: int = 4_096
    num_heads: int = 32
    num_layers: int = 32
    context: int = 3_000
    text_card: int = 32_000
    audio_card: int = AUDIO_CARD
    hidden_scale: float = 4.125
    depformer_dim: int = 1_024
    depformer_num_heads: int = 16
    depformer_num_layers: int = 6
    rope_base: float = 10_000.0

    @property
    def text_initial(self) -> int:
        return self.text_card


@dataclass(frozen=True, slots=True)
class MimiConfig:
    """The codec. ``context`` is how many of its own 25 Hz steps a transformer looks back."""

    dimension: int = 512
    n_filters: int = 64
    ratios: tuple[int, ...] = (8, 6, 5, 4)
    kernel: int = 7
    residual_kernel: int = 3
    last_kernel: int = 3
    compress: int = 2
    codebook_dim: int = 256
    codebook_size: int = AUDIO_CARD
    n_q: int = 32
    num_heads: int = 8
    num_layers: int = 8
    context: int = 250
    dim_feedforward: int = 2_048
    rope_base: float = 10_000.0
    sample_hz: int = 24_000


SHAPES: dict[str, tuple[LMConfig, MimiConfig]] = {
    "tiny": (
        LMConfig(64, 4, 2, 1_024, 512, depformer_dim=32, depformer_num_heads=4, depformer_num_layers=2),
        MimiConfig(
            dimension=32, n_filters=4, codebook_dim=16, num_heads=4, num_layers=2, context=20, dim_feedforward=64
        ),
    ),
    "small": (
        LMConfig(1_024, 16, 12, 3_000, 4_000, depformer_dim=256, depformer_num_heads=8, depformer_num_layers=3),
        MimiConfig(dimension=128, n_filters=16, codebook_dim=64, num_heads=4, num_layers=4, dim_feedforward=512),
    ),
    "published": (LMConfig(), MimiConfig()),
}
"""By name; all but ``published`` exist only with random weights."""
