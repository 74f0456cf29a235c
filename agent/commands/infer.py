"""`parley infer`: a recording answered by PersonaPlex, offline."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.commands.engine import RANDOM_WEIGHTS, Checkpoint, Device, Tiny, Voices, engine_options

if TYPE_CHECKING:
    from agent.duplex import AgentFrame, RolePrompt, Samples

DEFAULT_VOICE = "NATF2"
DEFAULT_TEXT = "You enjoy having a good conversation."


def infer(
    caller: Annotated[Path, typer.Argument(help="The caller's recording: a WAV file, any rate.")],
    output: Annotated[Path, typer.Argument(help="WAV file to write: caller left, agent right, 24 kHz.")],
    text: Annotated[str, typer.Option(help="The role as text, as the model is told it.")] = DEFAULT_TEXT,
    voice: Annotated[str, typer.Option(help="Name of a voice.")] = DEFAULT_VOICE,
    seed: Annotated[
        int, typer.Option(min=-1, max=2**63 - 1, help="Same seed, same answer; -1 draws one and prints it.")
    ] = -1,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Take the likeliest token always, instead of drawing.")
    ] = False,
    silence_s: Annotated[
        float, typer.Option(min=0, max=600, help="Seconds of silence after the recording, for the answer's end.")
    ] = 0.0,
    checkpoint: Checkpoint = "",
    voices: Voices = "",
    device: Device = "",
    tiny: Tiny = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
) -> None:
    """Let PersonaPlex hear a recording and answer it, as fast as the device goes: a two-track WAV and timed words."""
    import json
    import secrets

    from agent.duplex import FRAME_MS, RoleCard, RolePrompt, Sampling
    from agent.logs import configure_logging
    from agent.offline import check_output, read_recording, words, write_recording

    options = engine_options(checkpoint, voices, device, tiny=tiny, slots=1)
    configure_logging("error")
    check_output(output, caller)
    heard = read_recording(caller)
    heard += [heard[0] * 0] * round(silence_s * 1000 / FRAME_MS)
    seed = secrets.randbits(31) if seed < 0 else seed
    sampling = Sampling(audio_temperature=0.0, text_temperature=0.0) if greedy else Sampling()
    role = RolePrompt(text, voice, RoleCard("", "", "", "", "", "", "", ""), sampling, seed)
    said, took_s = asyncio.run(_answer(options, role, heard))
    write_recording(output, heard, [frame.audio for frame in said])
    spoken = words(said)
    if as_json:
        report = {
            "output": str(output),
            "seed": seed,
            "frames": len(said),
            "real_time_factor": round(took_s * 1000 / (len(said) * FRAME_MS), 4),
            "words": [{"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms} for word in spoken],
        }
        typer.echo(json.dumps(report, indent=2))
        return
    for word in spoken:
        typer.echo(f"{word.start_ms / 1000:8.2f} {word.end_ms / 1000:8.2f}  {word.text}")
    typer.echo(f"{output}: {len(said) * FRAME_MS / 1000:.1f} s in {took_s:.1f} s, seed {seed}", err=True)


async def _answer(
    options: dict[str, str], role: "RolePrompt", heard: "list[Samples]"
) -> "tuple[list[AgentFrame], float]":
    """Return the agent's frames, and the seconds that they took once the model was loaded."""
    import time

    from rich.console import Console
    from rich.progress import Progress

    from agent.duplex import load_engine
    from agent.offline import answer

    engine = load_engine("personaplex", options)
    out = Console(stderr=True, highlight=False)
    if options["engine_checkpoint"] == "tiny":
        out.print(RANDOM_WEIGHTS)
    try:
        with Progress(console=out, transient=True) as bar:
            loading = bar.add_task("Loading the model", total=None)
            await engine.start()
            bar.remove_task(loading)
            answering = bar.add_task("Answering", total=len(heard))
            began = time.monotonic()
            said = await answer(engine, role, heard, lambda: bar.advance(answering))
            return said, time.monotonic() - began
    finally:
        await engine.close()


def register(app: typer.Typer) -> None:
    app.command("infer")(infer)
