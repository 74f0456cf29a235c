"""Whom callers are handed to: scripted humans at the other end of a dialled number, a queue, or a room."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

HumanDoes = Literal["answers", "busy", "no-answer", "failed", "declines"]
HUMAN_DOES: tuple[HumanDoes, ...] = ("answers", "busy", "no-answer", "failed", "declines")


@dataclass(frozen=True, slots=True)
class Human:
    """A human who, ``after_s``, does something; one who answers hangs up after talking for ``talks_s``.

    One who declines answers, hears what the call is about, and presses no key; dialled directly, it is no answer.
    """

    does: HumanDoes = "answers"
    after_s: float = 1.0
    talks_s: float = 2.0

    @property
    def dial_status(self) -> str:
        """Twilio's DialCallStatus of a direct call."""
        return {"answers": "completed", "declines": "no-answer"}.get(self.does, self.does)

    @property
    def queue_result(self) -> str:
        """Twilio's QueueResult where this human works at a queue."""
        return {"answers": "bridged", "busy": "queue-full"}.get(self.does, "error")


@dataclass(slots=True)
class Room:
    """A conference: over once, for all in it."""

    over: asyncio.Event = field(default_factory=asyncio.Event)
