"""The role prompt as what the model takes in: the columns of its steps, and the token window that they leave.

    voice ─ 6 frames of silence ─ text, a piece a frame ─ 6 frames of silence
      │ codes: frames like the others; embeddings: inputs as they are, and the window that goes with them

Every token is given, none is drawn; so all steps are known before the first is computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agent.engines.personaplex.config import (
    CODEBOOKS,
    SILENCE_CODES,
    SILENCE_FRAMES,
    SINE_CODES,
    STREAMS,
    TEXT_PADDING,
    TOKEN_COLUMNS,
)
from agent.engines.personaplex.delays import TokenWindow, delays_on


@dataclass(frozen=True, slots=True)
class Voice:
    """What the agent sounds like: ``codes`` [V, 8], or ``embeddings`` [M, E] with the token ``cache`` [17, 4]."""

    name: str
    codes: Tensor | None = None
    embeddings: Tensor | None = None
    cache: Tensor | None = None


@dataclass(frozen=True, slots=True)
class PromptSteps:
    """The steps of a role prompt: first ``embeddings`` [M, E], if any, then ``columns`` [17, F] of tokens.

    ``window`` is one slot's, as it stands when all steps are taken. The first ``voice_steps`` steps depend on
    nothing but the voice.
    """

    embeddings: Tensor | None
    columns: Tensor
    window: TokenWindow
    voice_steps: int

    @property
    def steps(self) -> int:
        return self.columns.shape[1] + (0 if self.embeddings is None else self.embeddings.shape[0])


def wrap(text: str) -> str:
    """Put the model's own markers around a prompt, as in its training, unless they are there; empty stays empty."""
    text = text.strip()
    if not text or (text.startswith("<system>") and text.endswith("<system>")):
        return text
    return f"<system> {text} <system>"


def prompt_steps(voice: Voice, text: Sequence[int], text_initial: int, device: torch.device) -> PromptSteps:
    """Lay out a role prompt from a voice and the tokens of its wrapped text."""
    window = TokenWindow.empty(1, text_initial, device)
    silence = torch.tensor(SILENCE_CODES, device=device)
    pause = [_frame(TEXT_PADDING, silence)] * SILENCE_FRAMES
    frames = [*pause, *(_frame(token, silence) for token in text), *pause]
    if voice.embeddings is not None and voice.cache is not None:
        voice_steps = voice.embeddings.shape[0]
        window.tokens.copy_(voice.cache[None])
        window.offset.fill_(voice_steps + 1)
        window.forced.fill_(False)
        window.forced[:, :, (voice_steps + 1) % TOKEN_COLUMNS] = delays_on(device) > 0
    elif voice.codes is not None:
        voice_steps = voice.codes.shape[0]
        # The reference's first frame meets the initial tokens and is lost.
        frames = [*(_frame(TEXT_PADDING, codes) for codes in voice.codes.to(device)), *frames][1:]
    else:
        voice_steps, frames = 0, frames[1:]
    columns, window = lay_out(torch.stack(frames), window)
    return PromptSteps(voice.embeddings, columns, window, voice_steps)


def _frame(text: int, agent: Tensor) -> Tensor:
    caller = torch.tensor(SINE_CODES, device=agent.device)
    return torch.cat((torch.tensor([text], device=agent.device), agent, caller))


def lay_out(frames: Tensor, window: TokenWindow) -> tuple[Tensor, TokenWindow]:
    """Give one slot ``frames`` [F, 17] in all streams, as ``give`` and ``draw`` would one by one.

    Returns:
        The columns [17, F] that its F steps take, and the window afterwards; ``window`` itself stays as it is.
    """
    count, device = frames.shape[0], frames.device
    start = int(window.offset[0]) - 1
    near = (start + torch.arange(2, device=device)) % TOKEN_COLUMNS
    laid = torch.zeros(STREAMS, count + 2, dtype=torch.int64, device=device)
    laid[:, :2] = window.tokens[0][:, near]
    place = 1 + delays_on(device)[:, None] + torch.arange(count, device=device)
    laid.scatter_(1, place, frames.T.contiguous())

    after = TokenWindow(window.tokens.clone(), torch.zeros_like(window.forced), window.offset + count)
    kept = min(TOKEN_COLUMNS, count + 2)
    newest = (start + count + 2 - kept + torch.arange(kept, device=device)) % TOKEN_COLUMNS
    after.tokens[0, :, newest] = laid[:, count + 2 - kept :]
    after.forced[0, :, (start + count + 1) % TOKEN_COLUMNS] = delays_on(device) > 0
    return laid[:, :count], after


def check_voice(voice: Voice, width: int) -> str:
    """Return what is wrong with a voice for a model of this width, one sentence, or nothing."""
    if voice.codes is not None:
        bad = voice.codes.dim() != 2 or voice.codes.shape[1] != CODEBOOKS or voice.codes.shape[0] == 0
        return f"codes have the shape {list(voice.codes.shape)}, not [frames, {CODEBOOKS}]" if bad else ""
    embeddings, cache = voice.embeddings, voice.cache
    if embeddings is None or cache is None:
        return "it holds neither codes nor embeddings with their cache"
    if embeddings.dim() != 2 or embeddings.shape[1] != width or embeddings.shape[0] == 0:
        return f"embeddings have the shape {list(embeddings.shape)}, not [frames, {width}]"
    if tuple(cache.shape) != (STREAMS, TOKEN_COLUMNS):
        return f"the cache has the shape {list(cache.shape)}, not [{STREAMS}, {TOKEN_COLUMNS}]"
    return ""
