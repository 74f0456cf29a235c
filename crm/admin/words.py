"""What a call's figures and states are called on the pages, for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from crm.call import Call, CallEvent
from personas.admin.rendering import delay


class Shown(NamedTuple):
    """A state's name and the colour of its badge."""

    title: str
    colour: str


STATUSES = {
    "waiting": Shown("Waiting", "azure"),
    "ringing": Shown("Ringing", "azure"),
    "live": Shown("Live", "green"),
    "ended": Shown("Ended", "secondary"),
    "refused": Shown("Refused", "yellow"),
    "lost": Shown("Lost", "red"),
}
OUTCOMES = {
    "caller_hung_up": "The caller hung up",
    "agent_hung_up": "The agent hung up",
    "time_limit": "Ended at the longest length allowed",
    "engine_lost": "The speech engine was lost",
    "gateway_lost": "The server died in the call",
    "unknown_number": "No persona answers this number",
    "not_published": "The persona has no published version",
    "engine_full": "Every slot of the engine was taken",
    "engine_unavailable": "The engine could not be reached",
    "stream_failed": "The media stream failed",
    "transferred": "Given to a human",
    "caller_silent": "Nobody spoke any more",
    "agent_mute": "The agent said nothing to a waiting caller",
    "out_of_hours": "Called outside of the opening hours",
    "voicemail": "The caller was asked for a message",
    "abandoned": "The caller hung up while waiting",
}
EVENTS = {
    "announcement": "Parley spoke itself",
    "announcement_left_out": "Parley had no voice to say",
    "customer_lookup_failed": "Your records did not say who calls:",
    "digit": "The caller pressed a key",
    "handoff": "Handed over because of",
    "handoff_dialling": "Calling a human",
    "handoff_taken": "A human took the call",
    "handoff_answered": "The caller is with the human",
    "handoff_failed": "No human took the call",
    "handoff_over": "The hand-off is over",
    "handoff_impossible": "No human to hand over to, asked by",
    "operator_hung_up": "Ended from its page by",
    "operator_handed_off": "Handed over from its page by",
    "operator_refused": "The carrier did not do it:",
    "operator_unanswered": "The carrier did not answer:",
    "one_way_audio": "Audio one way only",
    "line_lossy": "Lossy line",
    "agent_choppy": "Choppy speech",
    "agent_faint": "Faint agent",
    "agent_late": "It rang: the agent was not there for",
    "playout_late": "Late speech",
}
REASONS = {
    "dtmf": "a key",
    "operator": "an operator",
    "still_there": "are you still there?",
    "time_warning": "the time is nearly up",
    "caller_silent": "goodbye to nobody",
    "nobody": "no human is free",
    "menu": "a key’s sentence",
}
# The parts of the response delay in the order in which they pass.
DELAY_PARTS = {
    "endpoint_ms": "noticing that the caller is done",
    "decode_ms": "recognising the last words",
    "answer_ms": "finding the answer",
    "voice_ms": "making the first sound",
}
FIGURES = {
    "prompt_ready_ms": "Role prompt taken in",
    "line_filled_ms": "Gaps on the line, filled",
    "silence_shed_ms": "Silence left out to catch up",
    "line_gaps": "Gaps on the line",
    "underruns": "Holes in the agent’s speech",
    "underrun_ms": "Holes in the agent’s speech, together",
    "playout_backlog_p95_ms": "Waiting at the carrier, 19 of 20 within",
    "agent_level_dbfs": "Level of the agent’s speech",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the response delay; ``left`` and ``width`` place it on a bar of 100."""

    title: str
    ms: float
    left: float
    width: float


def in_words(call: Call) -> str:
    """Return how the call ended, or where it is, in a few words."""
    if call.outcome == "agent_hung_up" and call.reason:  # an operator or the caller's key did it in the agent's name
        return call.reason.removesuffix(".")
    if call.outcome:
        return OUTCOMES.get(call.outcome, call.outcome.replace("_", " "))
    return {"ringing": "Ringing", "live": "In progress"}.get(call.status, STATUSES[call.status].title)


def event_words(event: CallEvent) -> tuple[str, str]:
    """Return what happened, and the particulars."""
    return EVENTS.get(event.kind, event.kind.replace("_", " ")), REASONS.get(event.detail, event.detail)


def quantity(name: str, value: float) -> str:
    """Return a figure with the unit that its name ends in; a name without one counts something."""
    if name.endswith("_dbfs"):
        return f"{value:.0f} dBFS"
    return delay(value) if name.endswith("_ms") else f"{value:.0f}"


def masked(number: str) -> str:
    """Return a phone number with all but its last three digits hidden; other addresses lose their middle."""
    digits = sum(character.isdigit() for character in number)
    if digits < 7:
        return number[:1] + "•••" if number else "unknown"
    return f"{number[:2]} ••• {number[-3:]}" if number.startswith("+") else f"••• {number[-3:]}"


def delay_parts(timing: Mapping[str, float]) -> list[Part]:
    """Return what the response delay is made of, from the medians that the recorder keeps."""
    known = [(title, timing[name]) for name, title in DELAY_PARTS.items() if timing.get(name, 0) > 0]
    whole = sum(ms for _title, ms in known)
    parts, left = [], 0.0
    for title, ms in known:
        parts.append(Part(title, ms, round(left, 2), round(100 * ms / whole, 2)))
        left += 100 * ms / whole
    return parts


def onsets(dynamics: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return how long the caller waited for the agent, with a title each; ``dynamics`` as crm.dynamics sums it up."""
    found = dynamics.get("onset") or {}
    named = (("Answers after, median", "p50_ms"), ("9 of 10 within", "p90_ms"))
    return [(title, found[key]) for title, key in named if key in found]


def figures(dynamics: Mapping[str, Any], timing: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return what else can be said about the call's timing, as (title, text)."""
    found: list[tuple[str, str]] = []
    if barge_ins := dynamics.get("barge_ins"):
        stopped = delay(median(each["stop_ms"] for each in barge_ins))
        found.append((f"Stopped when interrupted, median of {len(barge_ins)}", stopped))
    if takeovers := dynamics.get("takeovers"):
        found.append(("Cut in on the caller", f"{takeovers['in_speech'] + takeovers['in_pause']}×"))
    if dynamics.get("dead_air_ms"):
        found.append((f"Silences over 2 s: {dynamics['dead_air_count']}", delay(dynamics["dead_air_ms"])))
    for name, ms in timing.items():
        if name not in DELAY_PARTS and ms:
            title = FIGURES.get(name, name.removesuffix("_ms").replace("_", " ").capitalize())
            found.append((title, quantity(name, ms)))
    return found
