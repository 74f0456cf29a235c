"""`parley call`: a simulated phone calls a running server, with recordings or a script.

recordings | script spoken by the embedded voice ──▶ telephony.simulator.Phone ──▶ table or JSON, WAV
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from telephony.simulator import Act, Caller, CallResult, Phone, Script, SpokenLine, Step
    from telephony.simulator.hearing import AgentEar

_CALLERS_VOICE = "NATM1"
_TOO_LATE_MS = 100

Url = Annotated[str, typer.Option("--url", help="Where the server is reached; empty means this machine's PARLEY_PORT.")]
To = Annotated[str, typer.Option("--to", help="The number that is dialled.")]
From = Annotated[str, typer.Option("--from", help="The number that calls; empty means withheld.")]
Audio = Annotated[list[Path] | None, typer.Option("--audio", help="A recording to say: .ulaw, WAV, FLAC, Ogg or MP3.")]
More = Annotated[list[Path] | None, typer.Argument(help="Further recordings, said in order.", show_default=False)]
StartMs = Annotated[
    list[int] | None,
    typer.Option(
        "--start-ms", min=0, help="When a recording begins, in ms of the call; without it, when the agent is done."
    ),
]
ScriptFile = Annotated[
    Path | None, typer.Option("--script", help="A YAML script of lines, spoken by the embedded voice.")
]
VoiceName = Annotated[str, typer.Option("--voice", help="The script's voice, unless the script names one.")]
Background = Annotated[Path | None, typer.Option("--background", help="A recording of noise under the whole call.")]
Snr = Annotated[float, typer.Option("--snr", min=-20, max=60, help="How far the noise lies under the speech, in dB.")]
Save = Annotated[Path | None, typer.Option("--save", help="Write both sides as a WAV: caller left, agent right.")]
Patience = Annotated[
    int, typer.Option("--patience-ms", min=0, help="How long a recording waits for the agent to begin.")
]
MaxS = Annotated[float, typer.Option("--max-s", min=1, max=3_600, help="Hang up after this many seconds.")]
HumanDoes = Annotated[
    str, typer.Option("--human", help="What a human does whom the call is handed to: answers, busy, no-answer, failed.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def call(
    url: Url = "",
    to: To = "+15550100",
    from_: From = "+15550199",
    audio: Audio = None,
    more: More = None,
    start_ms: StartMs = None,
    script: ScriptFile = None,
    voice: VoiceName = _CALLERS_VOICE,
    background: Background = None,
    snr: Snr = 20.0,
    save: Save = None,
    patience_ms: Patience = 8_000,
    max_s: MaxS = 600.0,
    human: HumanDoes = "answers",
    as_json: AsJson = False,
) -> None:
    """Call a server with a simulated phone and report who said what when.

    Requests are signed with PARLEY_TWILIO_AUTH_TOKEN, so the server must have the same token. The status is 1 when
    the server did something Twilio would report as an error.
    """
    from agent.settings import settings
    from telephony.simulator import BadScript, ScriptedCaller, background_under, load_recording, load_script

    recordings = [*(audio or []), *(more or [])]
    if bool(recordings) == (script is not None):
        raise typer.BadParameter("give either recordings (--audio FILE…) or a script (--script FILE)")
    if start_ms and len(start_ms) != len(recordings):
        raise typer.BadParameter("--start-ms is given once for each recording, or not at all")
    if save and not save.parent.is_dir():
        raise BadScript(f"--save: the folder {save.parent} does not exist.")
    phone = _phone(url, human)
    if script is not None:
        lines = load_script(script)
        steps = asyncio.run(spoken_steps(lines, settings().tts, voice))
        patience_ms, settle_ms = lines.patience_ms, lines.settle_ms
    else:
        steps, settle_ms = _recorded_steps(recordings, start_ms), 800
    noise = background_under(_speech(steps), load_recording(background), snr) if background else None
    caller = ScriptedCaller(steps, patience_ms=patience_ms, settle_ms=settle_ms, background=noise)
    result = asyncio.run(_watch(phone.call, caller, as_json, to_number=to, from_number=from_, max_s=max_s))
    if save:
        result.save(save)
    _print(result, save, as_json)
    if result.errors:
        raise typer.Exit(1)


def _phone(url: str, human: str) -> "Phone":
    from agent.settings import settings
    from telephony.simulator import HUMAN_DOES, BadScript, Human, Phone

    humans = {does: Human(does) for does in HUMAN_DOES}
    if human not in humans:
        raise typer.BadParameter(f"--human is one of {', '.join(humans)}")
    tokens = settings().auth_tokens
    if not tokens:
        raise BadScript(
            "PARLEY_TWILIO_AUTH_TOKEN is not set: the server would refuse a call that is not signed with it."
        )
    reached = url or f"http://127.0.0.1:{settings().port}"
    return Phone(reached, tokens[0], public_url=settings().public_url, human=humans[human])


async def spoken_steps(script: "Script", tts: str, voice: str = _CALLERS_VOICE) -> "tuple[Step, ...]":
    """Return a script's steps, its lines spoken by the embedded voice at 8 kHz; ``tts`` is the setting's value.

    Raises:
        agent.duplex.EngineUnavailable: the voice is not installed.
    """
    from agent.engines.cascade.voice import EmbeddedVoice
    from telephony.simulator import perform, to_phone

    speaker = EmbeddedVoice(tts)
    await speaker.start()
    try:
        speeches = {text: await speaker.speak(text, script.voice or voice) for text in script.texts()}
    finally:
        await speaker.close()
    return perform(script, lambda text: to_phone(speeches[text].audio, speeches[text].sample_hz))


def as_dict(result: "CallResult") -> dict[str, Any]:
    """Return what ``--json`` prints: everything of a call but its audio."""
    from dataclasses import asdict

    onsets_ms = [line.onset_ms for line in result.lines if line.onset_ms is not None]
    return {
        "call_id": result.call_id,
        "ended_by": result.ended_by,
        "duration_ms": result.duration_ms,
        "steps": result.steps,
        "sentences": result.sentences,
        "humans": [asdict(leg) for leg in result.humans],
        "lines": [asdict(line) for line in result.lines],
        "agent_spurts": [asdict(spurt) for spurt in result.agent_spurts],
        "onset_ms": _percentiles(onsets_ms),
        "stop_ms": [line.stop_ms for line in result.lines if line.stop_ms is not None],
        "backlog_ms": max((stream.backlog_ms for stream in result.streams), default=0),
        "lateness_ms": max((stream.lateness_ms for stream in result.streams), default=0),
        "errors": [asdict(error) for error in result.errors],
    }


def _percentiles(onsets_ms: list[int]) -> dict[str, int | None]:
    import numpy as np

    if not onsets_ms:
        return {"p50": None, "p90": None}
    p50, p90 = np.percentile(onsets_ms, (50, 90))
    return {"p50": round(p50), "p90": round(p90)}


def _recorded_steps(recordings: list[Path], start_ms: list[int] | None) -> "tuple[Step, ...]":
    from telephony.simulator import Say, load_recording

    starts: list[int | None] = [*start_ms] if start_ms else [None] * len(recordings)
    return tuple(
        Say(path.name, load_recording(path), "audio", at_ms=at_ms)
        for path, at_ms in zip(recordings, starts, strict=True)
    )


def _speech(steps: "tuple[Step, ...]") -> list[Any]:
    from telephony.simulator import Say

    return [step.pcm for step in steps if isinstance(step, Say)]


class _Watched:
    """A caller whose progress is told while it talks."""

    def __init__(self, caller: "Caller", tell: Any) -> None:
        self._caller = caller
        self._tell = tell
        self._told = 0
        self._agent_spoke = False

    def tick(self, at_ms: int, ear: "AgentEar") -> "Act":
        act = self._caller.tick(at_ms, ear)
        for line in self._caller.lines()[self._told :]:
            self._told += 1
            self._tell(f"{line.start_ms / 1000:6.1f} s  caller  {line.text}")
        if ear.speaking and not self._agent_spoke:
            self._tell(f"{(ear.last_start_ms or 0) / 1000:6.1f} s  agent speaks")
        self._agent_spoke = ear.speaking
        return act

    def lines(self) -> "tuple[SpokenLine, ...]":
        return self._caller.lines()


async def _watch(dial: Any, caller: "Caller", as_json: bool, **where: Any) -> "CallResult":
    if as_json:
        return await dial(caller, **where)
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status("on the phone"):
        return await dial(_Watched(caller, lambda text: console.print(text, markup=False)), **where)


def _print(result: "CallResult", save: Path | None, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps(as_dict(result) | {"saved": str(save) if save else None}))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("from", "to", "caller", "answer after", "agent stopped after", box=box.SIMPLE)
    for line in result.lines:
        times = [f"{line.start_ms / 1000:.1f} s", f"{line.end_ms / 1000:.1f} s"]
        delays = ["–" if ms is None else f"{ms} ms" for ms in (line.onset_ms, line.stop_ms)]
        table.add_row(*times, line.text, *delays)
    console = Console()
    console.print(table)
    for sentence in result.sentences:
        console.print(f"The line said: {sentence}", markup=False)
    for leg in result.humans:
        console.print(f"A human was called: {leg.status}.")
    for error in result.errors:
        console.print(f"Error {error.code or ''} at {error.at_ms / 1000:.1f} s: {error.text}", markup=False)
    late_ms = max((stream.lateness_ms for stream in result.streams), default=0)
    if late_ms > _TOO_LATE_MS:
        console.print(f"This machine was busy: the phone itself was up to {late_ms} ms late.")
    agent_ms = sum(spurt.end_ms - spurt.start_ms for spurt in result.agent_spurts)
    console.print(
        f"{result.duration_ms / 1000:.1f} s, ended by the {result.ended_by}; the agent spoke {agent_ms / 1000:.1f} s; "
        f"followed: {' → '.join(result.steps)}" + (f"; saved {save}" if save else "")
    )


def register(app: typer.Typer) -> None:
    app.command("call")(call)
