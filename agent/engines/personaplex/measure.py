"""How fast this device is: ticks, role prompts, batches; models of any shape with random weights.

The figures do not depend on the weights' values. Rings count as filled to a length by moving the slots' positions.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from agent.duplex import FRAME_MS, FRAME_SAMPLES, RoleCard, RolePrompt
from agent.engines.personaplex.checkpoint import Models, load_models
from agent.engines.personaplex.config import CODEBOOKS, SHAPES, SILENCE_FRAMES
from agent.engines.personaplex.delays import AGENT
from agent.engines.personaplex.memory import slot_bytes
from agent.engines.personaplex.prefill import Prefill
from agent.engines.personaplex.prompt import Voice, prompt_steps
from agent.engines.personaplex.slots import EngineState
from agent.engines.personaplex.step import advance, reach_of
from agent.engines.personaplex.ticker import Ticker, TickerOptions

PROMPT_FRAMES = 300
BATCH = 8

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


def measure(plan: Plan, progress: Progress = lambda what: None) -> dict[str, object]:
    """Return the figures by the names of `parley bench engine --json`.

    Raises:
        ValueError: a ring longer than the shape's context, no slots, or no such shape.
    """
    _check(plan)
    device = torch.device(plan.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    progress("weights")
    models = load_models(plan.shape, "", device, dtype)
    progress("prefill against stepping")
    prefill_ratio = prefill_vs_stepping(models, dtype)
    progress("batch against alone")
    batch_ratio = batch_vs_alone(models, dtype)
    progress("role prompts")
    ready = ready_ms(models, dtype)
    ticks = []
    for slots in plan.slots:
        for ring in plan.rings:
            progress(f"{slots} slots, rings of {ring}")
            ticks.append(asdict(tick_figures(models, dtype, slots, ring, plan)))
    return {
        "device": _device_name(device),
        "shape": plan.shape,
        "prefill_vs_stepping": round(prefill_ratio, 2),
        "batch_vs_alone": round(batch_ratio, 2),
        "ready_ms": {name: round(value, 2) for name, value in ready.items()},
        "ticks": ticks,
        "memory_bytes": _memory_bytes(models, dtype, max(plan.slots)),
    }


def prefill_vs_stepping(models: Models, dtype: torch.dtype) -> float:
    """Return how many times faster a role prompt of 300 frames is in one pass than step by step."""
    lm, config = models.lm, models.lm.config
    live = torch.ones(1, dtype=torch.bool, device=models.device)
    codes = torch.zeros(PROMPT_FRAMES - 2 * SILENCE_FRAMES + 1, CODEBOOKS, dtype=torch.int64, device=models.device)
    steps = prompt_steps(Voice("measured", codes=codes), [], config.text_initial, models.device)
    state = _state(models, dtype, 1)

    def prefill() -> None:
        job = Prefill(lm, state.rings, 0, steps)
        while not job.done:
            job.advance()

    def stepping() -> None:
        fresh = _state(models, dtype, 1)
        frame = steps.columns[None, :, 0]
        for taken in range(steps.steps):
            fresh.window.give(AGENT, frame[:, AGENT], live)
            advance(lm, fresh, frame[:, 1 + CODEBOOKS :], live, reach_of(taken, config.context, 64))

    with torch.no_grad():
        prefill()
        fast = min(_time(models, prefill) for _ in range(3))
    return _time(models, stepping) / fast


def batch_vs_alone(models: Models, dtype: torch.dtype) -> float:
    """Return the throughput of 8 slots in one step of the language model over that of one slot, after a prompt."""
    duration = {}
    for slots in (1, BATCH):
        state = _state(models, dtype, slots)
        _fill(state, PROMPT_FRAMES)
        live = torch.ones(slots, dtype=torch.bool, device=models.device)
        heard = torch.zeros(slots, CODEBOOKS, dtype=torch.int64, device=models.device)
        reach = reach_of(PROMPT_FRAMES + 16, models.lm.config.context, 64)

        def step(state: EngineState = state, heard: torch.Tensor = heard, live: torch.Tensor = live) -> None:
            advance(models.lm, state, heard, live, reach)  # noqa: B023

        step()
        duration[slots] = float(np.median([_time(models, step) for _ in range(9)]))
    return BATCH * duration[1] / duration[BATCH]


def ready_ms(models: Models, dtype: torch.dtype) -> dict[str, float]:
    """Return how long a role prompt of 300 frames takes: nothing kept, its voice kept, all of it kept."""
    ticker = Ticker(models, TickerOptions(1, dtype))

    def take(text: str, voice: str = "NATF0") -> float:
        role = RolePrompt(text, voice, RoleCard("", "", "", "", "", "", "", ""), seed=1)

        def run() -> None:
            for _ in ticker.take_in(0, ticker.prepare(role, voice)):
                pass

        return 1000 * _time(models, run)

    words = PROMPT_FRAMES - 2 * SILENCE_FRAMES - 25 - 2
    take("warm up", "NATM0")
    first, second = " ".join(f"a{n}" for n in range(words)), " ".join(f"b{n}" for n in range(words))
    return {"cold": take(first), "voice_cached": take(second), "prompt_cached": take(first)}


def tick_figures(models: Models, dtype: torch.dtype, slots: int, ring: int, plan: Plan) -> TickFigures:
    """Tick ``slots`` calls that began at different times, each with up to ``ring`` steps in its ring."""
    ticker = Ticker(models, TickerOptions(slots, dtype))
    ticker.warm_up()
    ticker.place([max(1, ring - 7 * slot) for slot in range(slots)])
    noise = np.random.default_rng(0).normal(0, 0.1, (slots, FRAME_SAMPLES)).astype(np.float32)
    frames = dict(enumerate(noise))
    ticker.tick(frames)
    durations, late = [], 0
    for begin in _beats(round(plan.seconds * 1000 / FRAME_MS), plan.real_time):
        started = time.perf_counter()
        ticker.tick(frames)
        ended = time.perf_counter()
        durations.append(1000 * (ended - started))
        late += slots * (ended - (begin if plan.real_time else started) > FRAME_MS / 1000)
    p50, p95, p99 = np.percentile(durations, (50, 95, 99)).round(2).tolist()
    return TickFigures(slots, ring, p50, p95, p99, round(max(durations), 2), late)


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
    if max(plan.rings) > context:
        raise ValueError(f"A ring of {max(plan.rings)} steps does not fit: {plan.shape} has {context}.")


def _state(models: Models, dtype: torch.dtype, slots: int) -> EngineState:
    return EngineState.empty(slots, models.lm.config, models.mimi, device=models.device, dtype=dtype)


def _fill(state: EngineState, steps: int) -> None:
    state.window.offset.fill_(steps + 1)


def _time(models: Models, work: Callable[[], None]) -> float:
    """Return the seconds that ``work`` takes, the device's queue included."""
    if models.device.type == "cuda":
        torch.cuda.synchronize(models.device)
    started = time.perf_counter()
    work()
    if models.device.type == "cuda":
        torch.cuda.synchronize(models.device)
    return time.perf_counter() - started


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _memory_bytes(models: Models, dtype: torch.dtype, slots: int) -> int:
    """Return the most memory that was allocated (CUDA), or what weights and slots take (CPU)."""
    if models.device.type == "cuda":
        return torch.cuda.max_memory_allocated(models.device)
    weights = sum(p.numel() * p.element_size() for m in (models.lm, models.mimi) for p in m.state_dict().values())
    return weights + slots * slot_bytes(models, dtype)
