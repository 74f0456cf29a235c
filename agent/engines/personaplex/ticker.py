"""All that touches the device for calls: ticks over the slots, and role prompts, chunk by chunk.

    tick({slot: 80 ms}) ─▶ {slot: (80 ms, text token)}
    prepare(role) ─▶ take_in(slot, …) ─▶ an iterator: one chunk of work a step, done when it ends

All but ``prepare`` is to be used from one thread.
"""

import secrets
from collections.abc import Generator, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.duplex import FRAME_MS, FRAME_SAMPLES, RolePrompt, Samples, Sampling
from agent.engines.personaplex.anchor import HISTORY_SLACK, Anchor, Schedule
from agent.engines.personaplex.checkpoint import Models
from agent.engines.personaplex.config import CODEBOOKS, SILENCE_FRAMES
from agent.engines.personaplex.errors import PromptError
from agent.engines.personaplex.graph import Step
from agent.engines.personaplex.memory import CACHE_BYTES
from agent.engines.personaplex.prefill import CHUNK_STEPS, ImageCache, Prefill
from agent.engines.personaplex.prompt import PromptSteps, Voice, prompt_steps, wrap
from agent.engines.personaplex.sampler import MOST_TOP_K
from agent.engines.personaplex.slots import EngineState, empty_rings
from agent.engines.personaplex.step import reach_of
from agent.engines.personaplex.voices import Recording

Chunks = Generator[None, None, None]

STEPS_PER_S = 1000 / FRAME_MS
SILENCE_PEAK = 10 ** (-50 / 20)
QUIET_FRAMES = 5
"""Frames in a row in which nobody speaks, for a moment to be quiet."""

_READ_BUCKET = 16
_CODEC_CHUNK_FRAMES = 8
"""Frames of a recorded voice that are encoded between two ticks."""


@dataclass(frozen=True, slots=True)
class TickerOptions:
    """``slots`` calls at once, keys and values in ``dtype``."""

    slots: int
    dtype: torch.dtype
    anchor_s: float = 0.0
    """Seconds of a call that are kept when its slot is rebuilt; 0 leaves it to lose its prompt."""
    eager: bool = False
    """Do without a CUDA graph, to look for faults; a CPU always does."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A role that fits: its voice, read from its file, and the tokens of its wrapped text."""

    role: RolePrompt
    voice_name: str
    source: Voice | Recording
    text: tuple[int, ...]


class Ticker:
    """The models and the state of all slots."""

    def __init__(self, models: Models, options: TickerOptions) -> None:
        config = models.lm.config
        self._models = models
        self._device = models.device
        self.slots = options.slots
        keep = round(options.anchor_s * STEPS_PER_S)
        self._schedule = Schedule(config.context, keep)
        self._spare = empty_rings(1, config, models.device, options.dtype) if keep else []
        history = min(keep, config.context) + HISTORY_SLACK if keep else 0
        self.state = EngineState.empty(
            options.slots, config, models.mimi, device=models.device, dtype=options.dtype, history=history
        )
        self.images = ImageCache(CACHE_BYTES[models.device.type])
        self.most_prompt_steps = config.context // 2
        self._voices: dict[str, Voice] = {}
        self._steps = [0] * options.slots
        self._quiet = [0] * options.slots
        self._prompts: dict[int, tuple[PromptSteps, Hashable]] = {}
        self._step = Step(models.lm, models.mimi, self.state)
        self._is_eager = options.eager or models.device.type == "cpu"

    def on_device(self) -> AbstractContextManager[object]:
        """See the function ``on_device``."""
        return on_device(self._device)

    def tick(self, frames: Mapping[int, Samples]) -> dict[int, tuple[Samples, int]]:
        """Take one frame of some slots; return each one's sound and text token."""
        heard = np.zeros((self.slots, FRAME_SAMPLES), np.float32)
        for slot, samples in frames.items():
            heard[slot] = samples
        live = torch.zeros(self.slots, dtype=torch.bool)
        live[list(frames)] = True
        longest = max((self._steps[slot] for slot in frames), default=0)
        reach = reach_of(longest, self._models.lm.config.context, _READ_BUCKET)
        said = self._step.run(torch.from_numpy(heard), live, reach)
        sound = np.clip(np.nan_to_num(said.samples.float().cpu().numpy()), -1.0, 1.0)
        text = said.tokens[:, 0].tolist()
        for slot in frames:
            self._steps[slot] += 1
            is_quiet = max(np.abs(heard[slot]).max(), np.abs(sound[slot]).max()) < SILENCE_PEAK
            self._quiet[slot] = self._quiet[slot] + 1 if is_quiet else 0
        return {slot: (sound[slot], text[slot]) for slot in frames}

    def place(self, steps: Sequence[int]) -> None:
        """Move each slot to where it has taken so many steps; what its ring holds is left as it is. For measuring."""
        self._steps = list(steps)
        self.state.window.offset.copy_(torch.tensor(steps) + 1)

    def warm_up(self) -> None:
        """Capture the tick on CUDA; take a chunk of a prompt in and tick, so that no call pays for what is set up then.

        Raises:
            CheckpointError: the tick can't be captured.
        """
        config = self._models.lm.config
        voice = Voice("nobody", codes=torch.zeros(CHUNK_STEPS, CODEBOOKS, dtype=torch.int64, device=self._device))
        Prefill(
            self._models.lm, self.state.rings, 0, prompt_steps(voice, [], config.text_initial, self._device)
        ).advance()
        if not self._is_eager:
            self._step.capture(config.context)
        self.tick({})

    def prepare(self, role: RolePrompt, voice_name: str) -> Prepared:
        """Read a role's text and its voice, unless that was used before; slow, and may be called from any thread.

        Raises:
            VoiceError: the voice can't be read.
            PromptError: the prompt is too long, or asks for a way of drawing that there is not.
        """
        check_sampling(role.sampling)
        source = self._voices.get(voice_name) or self._models.voices.load(voice_name)
        text = tuple(self._models.text.encode(wrap(role.text)))
        frames = voice_frames(source) + len(text) + 2 * SILENCE_FRAMES
        if frames > self.most_prompt_steps:
            raise PromptError(
                f"The role prompt takes {frames} frames, {len(text)} of them text; "
                f"at most {self.most_prompt_steps} fit: shorten the persona's facts and rules."
            )
        return Prepared(role, voice_name, source, text)

    def take_in(self, slot: int, prepared: Prepared) -> Chunks:
        """Make a slot ready for a call in its role."""
        voice_name, source = prepared.voice_name, prepared.source
        self._begin(slot, prepared.role)
        if voice_name not in self._voices:
            is_sound = isinstance(source, Recording)
            self._voices[voice_name] = (yield from self._encode(source)) if is_sound else self._placed(source)
        voice = self._voices[voice_name]
        steps = prompt_steps(voice, prepared.text, self._models.lm.config.text_initial, self._device)
        prompt_key = ("prompt", voice_name, prepared.text)
        yield from self._compute(slot, steps, ("voice", voice_name), prompt_key)
        self.state.window.copy_row(slot, steps.window, 0)
        self._steps[slot] = steps.steps
        self._prompts[slot] = (steps, prompt_key)

    def due_anchor(self, slots: Iterable[int]) -> int | None:
        """Return one of ``slots`` that should be re-anchored now, if any."""
        return next((s for s in slots if self._schedule.is_due(self._steps[s], self._quiet[s] >= QUIET_FRAMES)), None)

    def anchor(self, slot: int) -> Chunks:
        """Re-anchor a slot, chunk by chunk between its ticks; one slot at a time, since there is one spare."""
        prompt, key = self._prompts[slot]
        keep = self._schedule.kept(prompt.steps, self._steps[slot])
        anchor = Anchor(self._models.lm, self.state, slot, self._spare, prompt, keep)
        yield from anchor.run(self.images.get(key))
        self._steps[slot] = anchor.steps

    def _begin(self, slot: int, role: RolePrompt) -> None:
        state, sampling = self.state, role.sampling
        state.reset(slot, self._models.lm.config.text_initial)
        rows = state.sampling
        rows.audio_temperature[slot] = sampling.audio_temperature
        rows.text_temperature[slot] = sampling.text_temperature
        rows.audio_top_k[slot] = sampling.audio_top_k
        rows.text_top_k[slot] = sampling.text_top_k
        rows.seed[slot] = secrets.randbits(63) if role.seed is None else role.seed % 2**63
        self._steps[slot] = self._quiet[slot] = 0

    def _placed(self, voice: Voice) -> Voice:
        """Move a voice to the device."""
        codes, embeddings, cache = (
            None if tensor is None else tensor.to(self._device)
            for tensor in (voice.codes, voice.embeddings, voice.cache)
        )
        return Voice(voice.name, codes, embeddings, cache)

    def _encode(self, recording: Recording) -> Generator[None, None, Voice]:
        """Encode a recorded voice frame by frame, as the caller's sound is."""
        mimi = self._models.mimi
        state, live = mimi.encoder_state(1), torch.ones(1, dtype=torch.bool, device=self._device)
        codes: list[Tensor] = []
        with torch.no_grad():
            for frame in recording.frames.to(self._device):
                codes.append(mimi.encode(frame[None], state, live)[0])
                if len(codes) % _CODEC_CHUNK_FRAMES == 0:
                    yield
        return Voice(recording.name, codes=torch.stack(codes))

    def _compute(self, slot: int, steps: PromptSteps, voice_key: Hashable, prompt_key: Hashable) -> Chunks:
        """Fill the slot's rings from what was kept, and compute and keep the rest."""
        prefill = Prefill(self._models.lm, self.state.rings, slot, steps)
        image = self.images.get(prompt_key) or self.images.get(voice_key)
        if image:
            prefill.start_from(image)
            self._note(slot, prefill.taken)
        while not prefill.done:
            before_text = steps.voice_steps - prefill.taken
            prefill.advance(min(CHUNK_STEPS, before_text) if before_text > 0 else CHUNK_STEPS)
            self._note(slot, prefill.taken)
            if prefill.taken == steps.voice_steps:
                self.images.keep(voice_key, self.state.rings, slot, prefill.taken)
            yield
        if prompt_key not in self.images:
            self.images.keep(prompt_key, self.state.rings, slot, steps.steps)

    def _note(self, slot: int, taken: int) -> None:
        """A slot that is not live writes where its next step will: past what the prompt has filled."""
        self.state.window.offset[slot] = taken + 1


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the one that a thread's kernels and graphs go to: each thread begins with the first."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def voice_frames(source: Voice | Recording) -> int:
    """Return how many frames of a role prompt a voice takes."""
    if isinstance(source, Recording):
        return source.frames.shape[0]
    return max(0 if tensor is None else tensor.shape[0] for tensor in (source.codes, source.embeddings))


def check_sampling(sampling: Sampling) -> None:
    """Raise PromptError for what can't be drawn with."""
    for name, temperature, top_k in (
        ("audio", sampling.audio_temperature, sampling.audio_top_k),
        ("text", sampling.text_temperature, sampling.text_top_k),
    ):
        if not 0 <= temperature <= 10:
            raise PromptError(f"{name} temperature must be from 0 (greedy) to 10, not {temperature}.")
        if not 1 <= top_k <= MOST_TOP_K:
            raise PromptError(f"{name} top-k must be from 1 to {MOST_TOP_K}, not {top_k}.")
