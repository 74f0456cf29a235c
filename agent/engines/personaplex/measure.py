"""How fast this device is: ticks, role prompts, batches; models of any shape with random weights.

The figures do not depend on the weights' values. Rings count as filled to a length by moving the slots' positions.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from agent.duplex import FRAME_MS, FRAME_SAMPLES, RoleCard, RolePrompt, Samples
from agent.engines.personaplex.checkpoint import Models, load_models
from agent.engines.personaplex.config import CODEBOOKS, SHAPES, SILENCE_FRAMES
from agent.engines.personaplex.delays import AGENT
from agent.engines.personaplex.graph import check_kernels
from agent.engines.personaplex.memory import free_bytes, slot_bytes, slots_that_fit
from agent.engines.personaplex.prefill import Prefill
from agent.engines.personaplex.prompt import Voice, prompt_steps
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.state import NARROW
from agent.engines.personaplex.step import advance, reach_of
from agent.engines.personaplex.ticker import Ticker, TickerOptions, on_device

PROMPT_FRAMES = 300
BATCH = 8

_PARTS = 6
_TURNS = 40
"""Ticks whose median counts: some seconds of them, so that a burst of other work does not decide."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TickFigures:
    """Ticks of ``slots`` calls whose rings hold ``ring`` steps; ``late`` counts frames answered after 80 ms."""

    slots: int
    ring: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    late: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: every number of slots with every length of the rings, for ``seconds`` of calls each."""

    shape: str = "tiny"
    device: str = "cpu"
    slots: Sequence[int] = (1, 2)
    rings: Sequence[int] = (300,)
    seconds: float = 4.0
    real_time: bool = False
    """Start a tick every 80 ms, as calls do, instead of at once."""
    kv: str = ""
    """``fp8`` keeps keys and values in 8 bits."""


def measure(plan: Plan, progress: Progress = lambda what: None) -> dict[str, object]:
    """Return the figures by the names of `parley bench engine --json`.

    Raises:
        ValueError: a ring longer than the shape's context, no slots, or no such shape.
        CheckpointError: the slots do not fit into memory.
    """
    _check(plan)
    device = torch.device(plan.device)
    with on_device(device):
        return _measure(plan, device, progress)


def _measure(plan: Plan, device: torch.device, progress: Progress) -> dict[str, object]:
    is_gpu = device.type == "cuda"
    weights = torch.bfloat16 if is_gpu else torch.float32
    kept = NARROW if plan.kv == "fp8" else weights
    if is_gpu:
        check_kernels(device, kept)
    progress("weights")
    models = load_models(plan.shape, "", device, weights, fused=is_gpu)
    bench = Bench(models, kept)
    slots_that_fit(models, max(*plan.slots, BATCH), bench.kept, spare=False, free=free_bytes(device))
    progress("prefill against stepping")
    prefill_ratio = bench.prefill_vs_stepping()
    progress("batch against alone")
    batch_ratio = bench.batch_vs_alone()
    progress("role prompts")
    ready = bench.ready_ms()
    first_audio = bench.first_audio_ms()
    ticks = []
    for slots in plan.slots:
        for ring in plan.rings:
            progress(f"{slots} slots, rings of {ring}")
            ticks.append(asdict(bench.ticks(slots, ring, plan)))
    return {
        "device": _device_name(device),
        "shape": plan.shape,
        "kv": plan.kv or str(weights).removeprefix("torch."),
        "prefill_vs_stepping": round(prefill_ratio, 2),
        "batch_vs_alone": round(batch_ratio, 2),
        "ready_ms": {name: round(value, 2) for name, value in ready.items()},
        "first_audio_ms": round(first_audio, 2),
        "ticks": ticks,
        "memory_bytes": bench.memory_bytes(max(plan.slots)),
    }


class Bench:
    """Measures one device with keys and values ``kept`` in one precision."""

    def __init__(self, models: Models, kept: torch.dtype) -> None:
        self.models = models
        self.kept = kept

    def _state(self, slots: int) -> EngineState:
        models = self.models
        return EngineState.empty(slots, models.lm.config, models.mimi, device=models.device, dtype=self.kept)

    def _ticker(self, slots: int, ring: int) -> tuple[Ticker, dict[int, Samples]]:
        """Return ``slots`` calls that began one after another, up to ``ring`` steps ago, and a frame for each."""
        torch.cuda.empty_cache()  # of the tickers before this one: the largest fill a GPU
        ticker = Ticker(self.models, TickerOptions(slots, self.kept))
        ticker.warm_up()
        ticker.place([max(1, ring - 7 * slot) for slot in range(slots)])
        noise = np.random.default_rng(0).normal(0, 0.1, (slots, FRAME_SAMPLES)).astype(np.float32)
        frames = dict(enumerate(noise))
        ticker.tick(frames)
        return ticker, frames

    def _time(self, work: Callable[[], object]) -> float:
        """Return the seconds that ``work`` takes, the device's queue included."""
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.models.device.type == "cuda":
            torch.cuda.synchronize(self.models.device)

    @torch.no_grad()
    def prefill_vs_stepping(self) -> float:
        """Return how many times faster a role prompt of 300 frames is in one pass than step by step, eagerly."""
        lm, config, device = self.models.lm, self.models.lm.config, self.models.device
        live = torch.ones(1, dtype=torch.bool, device=device)
        codes = torch.zeros(PROMPT_FRAMES - 2 * SILENCE_FRAMES + 1, CODEBOOKS, dtype=torch.int64, device=device)
        steps = prompt_steps(Voice("measured", codes=codes), [], config.text_initial, device)
        frame = steps.columns[None, :, 0]
        filled, stepped = self._state(1), self._state(1)

        def prefill() -> None:
            job = Prefill(lm, filled.rings, 0, steps)
            while not job.done:
                job.advance()

        def stepping(begin: int, end: int) -> None:
            for taken in range(begin, end):
                stepped.window.give(AGENT, frame[:, AGENT], live)
                advance(lm, stepped, frame[:, 1 + CODEBOOKS :], live, reach_of(taken, config.context, 64))

        prefill()
        fast, slow = [], 0.0
        size = PROMPT_FRAMES // _PARTS
        for begin in range(0, PROMPT_FRAMES, size):  # by turns: other work on the machine comes and goes
            fast.append(self._time(prefill))
            slow += self._time(lambda begin=begin: stepping(begin, begin + size))
        return slow / float(np.median(fast))

    def batch_vs_alone(self) -> float:
        """Return the throughput of whole ticks of 8 slots over that of one slot, all of them after a prompt."""
        calls = {slots: self._ticker(slots, PROMPT_FRAMES) for slots in (1, BATCH)}
        took: dict[int, list[float]] = {slots: [] for slots in calls}
        for _ in range(_TURNS):
            for slots, (ticker, frames) in calls.items():
                took[slots].append(self._time(lambda ticker=ticker, frames=frames: ticker.tick(frames)))
        return BATCH * float(np.median(took[1]) / np.median(took[BATCH]))

    def ready_ms(self) -> dict[str, float]:
        """Return how long a role prompt of 300 frames takes: nothing kept, its voice kept, all of it kept."""
        ticker = Ticker(self.models, TickerOptions(1, self.kept))

        def take(text: str, voice: str = "NATF0") -> float:
            def run() -> None:
                for _ in ticker.take_in(0, ticker.prepare(_role(text, voice), voice)):
                    pass

            return 1000 * self._time(run)

        words = PROMPT_FRAMES - 2 * SILENCE_FRAMES - 25 - 2
        take("warm up", "NATM0")
        first, second = " ".join(f"a{n}" for n in range(words)), " ".join(f"b{n}" for n in range(words))
        return {"cold": take(first), "voice_cached": take(second), "prompt_cached": take(first)}

    def first_audio_ms(self) -> float:
        """Return the time from a ready call's first frame to the first sound that answers it.

        What is said is a frame late, so that its codebooks line up: it comes with the second tick, 80 ms on.
        """
        ticker, frames = self._ticker(1, 1)
        for _ in ticker.take_in(0, ticker.prepare(_role("", "NATF0"), "NATF0")):
            pass
        first, second = (1000 * self._time(lambda: ticker.tick(frames)) for _ in range(2))
        return max(FRAME_MS, first) + second

    def ticks(self, slots: int, ring: int, plan: Plan) -> TickFigures:
        """Tick ``slots`` calls for the plan's seconds."""
        ticker, frames = self._ticker(slots, ring)
        durations, late = [], 0
        for begin in _beats(round(plan.seconds * 1000 / FRAME_MS), plan.real_time):
            started = time.perf_counter()
            ticker.tick(frames)
            ended = time.perf_counter()
            durations.append(1000 * (ended - started))
            late += slots * (ended - (begin if plan.real_time else started) > FRAME_MS / 1000)
        p50, p95, p99 = np.percentile(durations, (50, 95, 99)).round(2).tolist()
        return TickFigures(slots, ring, p50, p95, p99, round(max(durations), 2), late)

    def memory_bytes(self, slots: int) -> int:
        """Return the most memory that was allocated (CUDA), or what weights and slots take (CPU)."""
        models = self.models
        if models.device.type == "cuda":
            return torch.cuda.max_memory_allocated(models.device)
        tensors = [tensor for model in (models.lm, models.mimi) for tensor in model.state_dict().values()]
        return sum(t.numel() * t.element_size() for t in tensors) + slots * slot_bytes(models, self.kept)


def _role(text: str, voice: str) -> RolePrompt:
    return RolePrompt(text, voice, RoleCard("", "", "", "", "", "", "", ""), seed=1)


def _beats(count: int, real_time: bool) -> Iterable[float]:
    """Yield the moment each tick is due, at that moment at the earliest where calls run in real time."""
    start = time.perf_counter()
    for beat in range(count):
        due = start + beat * FRAME_MS / 1000
        if real_time:
            time.sleep(max(0.0, due - time.perf_counter()))
        yield due


def _check(plan: Plan) -> None:
    if plan.shape not in SHAPES:
        raise ValueError(f"There is no shape {plan.shape!r}; there are {', '.join(SHAPES)}.")
    context = SHAPES[plan.shape][0].context
    if not plan.slots or min(plan.slots) < 1 or not plan.rings or min(plan.rings) < 1 or plan.seconds <= 0:
        raise ValueError("Slots, rings and seconds must be numbers from 1 up.")
    if plan.kv not in ("", "fp8"):
        raise ValueError(f"Keys and values are kept in fp8 or as the weights are, not in {plan.kv!r}.")
    if max(plan.rings) > context:
        raise ValueError(f"A ring of {max(plan.rings)} steps does not fit: {plan.shape} has {context}.")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
