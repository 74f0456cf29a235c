"""Every sample through an engine: what the agent says, on the user's own clock.

input.wav ─ a frame every 80 ms ─▶ session ─ when it arrives ─▶ output.wav, output.json
"""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from agent.bench.calls import hold_calls
from agent.bench.full_duplex.samples import ANNOTATIONS, INPUT, Sample
from agent.bench.line import AUDIBLE_OF_ANY
from agent.duplex import FRAME_MS, FRAME_SAMPLES, SAMPLE_HZ, AgentFrame, DuplexEngine, DuplexError, RolePrompt, Samples
from agent.offline import answer, read_recording
from crm.transcribe import words_of

OUTPUT, WORDS = "output.wav", "output.json"
LATE_S = 0.04
LAST_ANSWER_S = 5.0
"""How long the answer to the last frame is waited for."""


@dataclass(slots=True)
class Answered:
    """What became of the samples: ``kept`` were answered before, ``failed`` are (place, why).

    ``late`` frames were handed in more than half a frame late, because the machine was busy with others.
    """

    answered: int = 0
    kept: int = 0
    frames: int = 0
    late: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"failed": {place.as_posix(): why for place, why in self.failed}}


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame of the agent that begins to be heard ``at_ms`` after the user's recording begins."""

    at_ms: int
    frame: AgentFrame


async def answer_all(
    engine: DuplexEngine,
    role: RolePrompt,
    samples: Sequence[Sample],
    out: Path,
    done: Callable[[], None],
    *,
    at_once: int = 1,
    real_time: bool = True,
) -> Answered:
    """Answer what has no answer in ``out`` yet, ``at_once`` calls at a time, or as many as the started engine holds.

    Args:
        done: called after each sample.
        real_time: hand frames in as a telephone does, and place the answer when it comes. Without it frames go as
            fast as the engine takes them, and its answers count as immediate.
    """
    result = Answered()

    async def one(sample: Sample) -> None:
        target = out / sample.place
        if (target / OUTPUT).is_file():
            result.kept += 1
        else:
            await answer_one(sample, target)
        done()

    async def answer_one(sample: Sample, target: Path) -> None:
        try:
            user = await asyncio.to_thread(read_recording, sample.folder / INPUT)
            if real_time:
                said = await _in_real_time(engine, role, user, result)
            else:
                frames = await answer(engine, role, user, lambda: None)
                said = [Heard(frame.index * FRAME_MS, frame) for frame in frames]
            await asyncio.to_thread(_write, sample, target, said, len(user))
            result.answered += 1
            result.frames += len(user)
        except DuplexError as error:
            result.failed.append((sample.place, str(error)))

    await hold_calls(engine, samples, one, at_once)
    return result


async def _in_real_time(
    engine: DuplexEngine, role: RolePrompt, user: Sequence[Samples], result: Answered
) -> list[Heard]:
    session = await engine.open(role)
    said: list[Heard] = []
    now_s = asyncio.get_running_loop().time
    try:
        await session.ready()
        begun_s = now_s()

        async def hear() -> None:
            free_ms = 0
            async for frame in session.frames():
                # A frame is answered when it is over; an answer plays when it comes, after those before it.
                due_ms = max(frame.index * FRAME_MS, round((now_s() - begun_s) * 1000) - FRAME_MS)
                at_ms = max(free_ms, due_ms)
                said.append(Heard(at_ms, frame))
                free_ms = at_ms + FRAME_MS
                if frame.index == len(user) - 1:
                    return

        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(hear())
            for index, frame in enumerate(user):
                due_s = begun_s + (index + 1) * FRAME_MS / 1000
                await asyncio.sleep(max(0.0, due_s - now_s()))
                result.late += now_s() - due_s > LATE_S
                session.push(frame)
            await asyncio.wait([hearing], timeout=LAST_ANSWER_S)
            hearing.cancel()
    except* DuplexError as group:
        raise group.exceptions[0] from None
    finally:
        await session.close()
    return said


def _write(sample: Sample, target: Path, said: Sequence[Heard], frames: int) -> None:
    """Write the agent's track, as long as the user's, its words, and the annotation.

    An engine that is heard and does not tell its words leaves them to a recogniser. The track comes last and whole:
    where it lies, the sample is answered.
    """
    import soundfile

    track = np.zeros((frames + 1) * FRAME_SAMPLES, np.float32)
    for heard in said:
        start = min(heard.at_ms * SAMPLE_HZ // 1000, frames * FRAME_SAMPLES)
        track[start : start + FRAME_SAMPLES] = heard.frame.audio
    words = words_of([(heard.at_ms, heard.frame.text) for heard in said if heard.frame.text])
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target) as beside:
        if words or np.abs(track).max() < AUDIBLE_OF_ANY:
            chunks = [{"text": word.text, "timestamp": [word.start_ms / 1000, word.end_ms / 1000]} for word in words]
            text = " ".join(word.text for word in words)
            (Path(beside) / WORDS).write_text(json.dumps({"text": text, "chunks": chunks}, indent=1))
            os.replace(Path(beside) / WORDS, target / WORDS)
        for name in ANNOTATIONS:
            if (sample.folder / name).is_file() and not (target / name).exists():
                shutil.copyfile(sample.folder / name, target / name)
        soundfile.write(Path(beside) / OUTPUT, track[: frames * FRAME_SAMPLES], SAMPLE_HZ, subtype="PCM_16")
        os.replace(Path(beside) / OUTPUT, target / OUTPUT)
