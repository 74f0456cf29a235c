"""What comes next for a caller: tables of what happened, and what is tried then, in order, until one can be done.

outcome, setting of the number, result of a hand-off ──▶ (Step, …)
"""

from collections.abc import Mapping
from enum import Enum, auto

from crm.call import Outcome
from personas.numbers import OnFull
from telephony.carrier import Result


class Step(Enum):
    """One thing that can be done for a caller; ``SAY`` and ``HANG_UP`` can always be."""

    HANG_UP = auto()
    SAY = auto()  # why, in one sentence, and hang up
    WAIT = auto()  # hearing it ring: for a slot, where the number is set to that, or for a process that takes calls
    RECONNECT = auto()  # to the persona, with the conversation so far
    HUMAN = auto()  # the number's own
    HAND_OFF = auto()  # to whom the call was given


Steps = tuple[Step, ...]

_OVER: Steps = (Step.HANG_UP,)
_LOST: Steps = (Step.RECONNECT, Step.WAIT, Step.HUMAN, Step.SAY)
_TOLD: Steps = (Step.SAY,)

AFTER_STREAM: Mapping[Outcome, Steps] = {
    "": _LOST,  # nobody knows: its process is gone or hangs
    "caller_hung_up": _OVER,
    "agent_hung_up": _OVER,
    "time_limit": _OVER,
    "caller_silent": _OVER,
    "abandoned": _OVER,
    "voicemail": _OVER,
    "transferred": (Step.HAND_OFF, Step.RECONNECT, Step.WAIT, Step.SAY),
    "engine_lost": _LOST,
    "agent_mute": _LOST,
    "gateway_lost": _LOST,
    "stream_failed": _LOST,
    "engine_full": _LOST,
    "engine_unavailable": _LOST,
    "unknown_number": _TOLD,
    "not_published": _TOLD,
    "out_of_hours": _TOLD,
}
LOSSES: frozenset[Outcome] = frozenset(outcome for outcome, steps in AFTER_STREAM.items() if steps is _LOST)
"""Endings after which a caller is reconnected, once a call."""

_FULL: Mapping[OnFull, Steps] = {
    "busy": _TOLD,
    "wait": (Step.WAIT, Step.SAY),
    "human": (Step.HUMAN, Step.SAY),
}
_REFUSED: Mapping[Outcome, Steps] = {
    "engine_unavailable": (Step.HUMAN, Step.SAY),
    "not_published": (Step.HUMAN, Step.SAY),
}
WAITED_ENOUGH: Steps = (Step.HUMAN, Step.SAY)
_ASKED_FOR = frozenset({"dtmf", "rule", "operator"})


def at_answer(outcome: Outcome, on_full: OnFull = "busy") -> Steps:
    """Return what is tried for a ringing call that no persona can take."""
    return _FULL[on_full] if outcome == "engine_full" else _REFUSED.get(outcome, _TOLD)


def after_human(result: Result, why: str) -> Steps:
    """Return what is tried after a human was called; ``why`` is the hand-off's.

    Who was doing well with the persona is brought back to it; who came because it was lost is not.
    """
    if result in ("answered", "canceled"):
        return _OVER
    return (Step.RECONNECT, Step.WAIT, Step.SAY) if why in _ASKED_FOR else _TOLD
