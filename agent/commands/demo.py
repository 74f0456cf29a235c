"""`parley demo`: a scripted caller phones a persona through all of Parley, on this machine."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from agent.demo import DemoReport
    from agent.live import LiveEvent
    from agent.server import RunningServer
    from agent.settings import Settings

_QUIET = "error"


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the call instead of staying up.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --once: print the call as one JSON object, and nothing else.")
    ] = False,
) -> None:
    """Let a scripted caller phone a persona, show what is said, score it, and stay up for more calls."""
    from uvicorn.loops.auto import auto_loop_factory

    from agent.logs import configure_logging
    from agent.settings import settings

    if as_json and not once:
        raise typer.BadParameter("--json goes with --once")
    configure_logging(_QUIET, settings().log_format)
    from agent.demo import demo_settings  # after the logging: pipecat logs when it is imported

    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(_demo(demo_settings(settings()), once, as_json))


async def _demo(settings: "Settings", once: bool, as_json: bool) -> None:
    import json

    from rich.console import Console

    from agent.commands.call import spoken_steps
    from agent.demo import NUMBER, SCRIPT, demo_server, place_call
    from telephony.simulator import load_script

    out = Console(stderr=as_json, quiet=as_json, highlight=False)
    with out.status("preparing the database, the personas and the engine"):
        script = load_script(SCRIPT)
        steps = await spoken_steps(script, settings.tts)
    async with demo_server(settings) as server:
        out.print(f"[bold]Parley[/bold] is up at {server.url}, engine {server.app.state.engine.name}.")
        out.print(f"{script.title}: a simulated phone dials {NUMBER}.\n", markup=False)
        screen = LiveWords(out)
        report = await place_call(server, steps, screen.tell)
        if as_json:
            typer.echo(json.dumps(report.as_dict(), indent=2))
        else:
            show_report(out, report)
        if not once:
            await _stay(out, server, settings)


class LiveWords:
    """Both sides' words on a terminal as they are spoken: a new line whenever the other side goes on."""

    def __init__(self, out: "Console") -> None:
        self._out = out
        self._side = ""

    def tell(self, event: "LiveEvent") -> None:
        from agent.live import CallOver, Spoke

        if isinstance(event, Spoke):
            if event.side != self._side:
                self._begin(event.side, event.at_ms)
            text = event.text if event.text.startswith(" ") else f" {event.text}"
            self._out.print(text, end="", style="green" if event.side == "agent" else "cyan", markup=False)
        elif isinstance(event, CallOver):
            self._out.print("\n" if self._side else "")

    def _begin(self, side: str, at_ms: int) -> None:
        self._out.print(("\n" if self._side else "") + f"{at_ms / 1000:6.1f} s  {side:<7}", end="", style="dim")
        self._side = side


def show_report(out: "Console", report: "DemoReport") -> None:
    """Print the scores, the timing and where the call can be seen."""
    from rich import box
    from rich.table import Table

    table = Table(
        "verdict", "criterion", "quote", box=box.SIMPLE, title="How well the role was kept", title_justify="left"
    )
    marks = {"pass": "[green]pass[/green]", "fail": "[red]FAIL[/red]", "unresolved": "[yellow]open[/yellow]"}
    for verdict in report.card.verdicts:
        if verdict.result != "na":
            table.add_row(marks[verdict.result], verdict.text, f"“{verdict.quote}”" if verdict.quote else "")
    out.print(table)
    score = "none applied" if report.card.score is None else f"{report.card.score:.0%}"
    out.print(f"Adherence  {score}, {report.card.coverage:.0%} of the applicable criteria decided")
    out.print(f"Response   {_ms(report.onset_ms('p50'))} median, {_ms(report.onset_ms('p90'))} p90, as recorded")
    for line in report.heard.lines:
        if line.stop_ms is not None:
            out.print(f"Barge-in   the agent was silent {line.stop_ms} ms after the caller cut in")
    out.print(f"Recording  {report.recording}", soft_wrap=True, markup=False)
    out.print(f"Page       {report.page}", soft_wrap=True, markup=False)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"


async def _stay(out: "Console", server: "RunningServer", settings: "Settings") -> None:
    import signal
    import sys

    from agent.demo import NUMBER, SCRIPT

    state = server.app.state
    token = settings.auth_tokens[0]
    login = (
        f"admin / {state.admin_password}  (shown only now)"
        if state.admin_password
        else "admin, with the password of the first start"
    )
    again = f"{sys.argv[0]} call --url {server.url}"
    lines = {
        "Console": f"{server.url}/",
        "Login": login,
        "Call again": f"PARLEY_TWILIO_AUTH_TOKEN={token} {again} --to {NUMBER} --script {SCRIPT}",
        "Real number": "set PARLEY_PUBLIC_URL and PARLEY_TWILIO_AUTH_TOKEN, then parley serve; see README",
    }
    out.print()
    for name, value in lines.items():
        out.print(f"  {name:<12} {value}", markup=False, soft_wrap=True)
    out.print("\nThe server stays up; Ctrl+C ends it.")
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, server.stop)
    await server.wait()


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)
