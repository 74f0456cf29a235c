"""A caller's script: YAML steps, and a voice that speaks them.

patience_ms: 8000                # how long the caller waits for the agent to begin
steps:
  - say: Hello, can you hear me?             # lets the agent finish first
  - say: Sorry, one more thing.
    interrupt_after_ms: 1500                 # talks over the agent, 1.5 s into its speech
  - backchannel: mm-hmm                      # a small noise while the agent speaks
    after_ms: 800
  - wait: 5000                               # for the agent to finish; at most 5 s for it to begin
  - pause_ms: 500
  - press: "1#"
  - hang_up: true
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from telephony.simulator.callers import HangUp, Pause, Pcm8k, Press, Say, Step, Wait
from telephony.simulator.errors import BadScript

SpeakLine = Callable[[str], Pcm8k]
"""Text → [N] int16 at 8 kHz."""

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Milliseconds = Annotated[int, Field(ge=0, le=600_000)]
_ACTIONS = ("say", "backchannel", "wait", "pause_ms", "press", "hang_up")


class ScriptStep(BaseModel):
    """One step: exactly one of say, backchannel, wait, pause_ms, press, hang_up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    say: Line | None = None
    interrupt_after_ms: Milliseconds | None = None
    at_ms: Milliseconds | None = None
    backchannel: Line | None = None
    after_ms: Milliseconds = 800
    wait: bool | Milliseconds | None = None
    pause_ms: Milliseconds | None = None
    press: Annotated[str, StringConstraints(pattern=r"^[0-9A-D*#]{1,32}$")] | None = None
    hang_up: bool | None = None

    @model_validator(mode="after")
    def _one_action(self) -> "ScriptStep":
        named = [name for name in _ACTIONS if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"must name exactly one of {', '.join(_ACTIONS)}")
        if self.say is None and (self.interrupt_after_ms is not None or self.at_ms is not None):
            raise ValueError("interrupt_after_ms and at_ms go with say")
        return self


class Script(BaseModel):
    """What a caller does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: tuple[ScriptStep, ...] = Field(min_length=1, max_length=500)
    title: str = ""
    voice: str = ""
    patience_ms: Milliseconds = 8_000
    settle_ms: Milliseconds = 800

    def texts(self) -> tuple[str, ...]:
        """Every line to be spoken, in order."""
        return tuple(text for step in self.steps if (text := step.say or step.backchannel))


@dataclass(frozen=True, slots=True)
class _Reader:
    speak: SpeakLine

    def step(self, step: ScriptStep) -> Step:
        if step.say is not None:
            kind = "say" if step.interrupt_after_ms is None else "interrupt"
            return Say(step.say, self.speak(step.say), kind, step.interrupt_after_ms, step.at_ms)
        if step.backchannel is not None:
            return Say(step.backchannel, self.speak(step.backchannel), "backchannel", step.after_ms)
        if step.wait is not None:
            return Wait(None if isinstance(step.wait, bool) else step.wait)
        if step.pause_ms is not None:
            return Pause(step.pause_ms)
        return Press(step.press) if step.press is not None else HangUp()


def parse_script(text: str, source: str = "script") -> Script:
    """Return the script in a YAML text; ``source`` names it in errors.

    Raises:
        BadScript: naming the step and field that can't be used.
    """
    try:
        return Script.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise BadScript(f"{source}: is not YAML ({getattr(error, 'problem', None) or 'unreadable'}).") from None
    except ValidationError as error:
        raise BadScript(f"{source}: {'; '.join(_complaint(e) for e in error.errors(include_input=False))}.") from None


def load_script(path: Path) -> Script:
    """Return the script in a YAML file; raises BadScript."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadScript(f"{path}: can't be read ({type(error).__name__}).") from None
    return parse_script(text, str(path))


def perform(script: Script, speak: SpeakLine) -> tuple[Step, ...]:
    """Return the steps with their audio; ``speak`` is asked once for each line."""
    reader = _Reader(speak)
    return tuple(reader.step(step) for step in script.steps)


def _complaint(error: Any) -> str:
    place = [f"step {part + 1}" if isinstance(part, int) else str(part) for part in error["loc"]]
    return f"{', '.join(place) or 'the script'}: {error['msg'].removeprefix('Value error, ')}"
