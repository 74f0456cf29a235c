"""What the line itself says to callers and humans, in the carrier's voice."""

from collections.abc import Mapping, Sequence

from crm.call import Call, Outcome, Turn

APOLOGY = "We are sorry, a technical problem has ended this call. Please call again in a few minutes. Goodbye."
REFUSALS: Mapping[Outcome, str] = {
    "unknown_number": "The number you have called is not in service. Goodbye.",
    "not_published": "We are sorry, this line is not open yet. Please call again later. Goodbye.",
    "engine_full": "All our lines are busy at the moment. Please call again in a few minutes. Goodbye.",
    "engine_unavailable": "We are sorry, we cannot take your call at the moment. Please call again later. Goodbye.",
    "out_of_hours": "We are closed at the moment. Please call again during our opening hours. Goodbye.",
    "transferred": "We are sorry, nobody is free to take your call at the moment. Please call again later. Goodbye.",
}
"""What the caller hears where nobody can answer; an outcome that is not named here gets the apology."""

ONE_MOMENT = "One moment, please."
CONNECTING = "We are sorry for the trouble. One moment, please, while we connect you to a colleague."
NOBODY_FREE = "I am sorry, nobody is free to take your call right now."
PLEASE_WAIT = "All our lines are busy at the moment. Please stay on the line; we will answer as soon as we can."
PLEASE_WAIT_AGAIN = "We are sorry for the trouble. Please stay on the line; we will go on as soon as we can."
LEAVE_MESSAGE = "We are closed at the moment. Please leave a message after the tone, and we will call you back."
THANKS = "Thank you. We have your message. Goodbye."
CALLER_GONE = "The caller has hung up. Goodbye."
_MOST_BRIEFING = 400


def refusal(outcome: Outcome) -> str:
    """Return what a caller hears whose call is over for this reason."""
    return REFUSALS.get(outcome, APOLOGY)


def please_wait(part: int) -> str:
    """Return what a caller hears who is to wait for a slot, for the first part of the call or for a later one."""
    return PLEASE_WAIT if part == 1 else PLEASE_WAIT_AGAIN


def briefing(call: Call, turns: Sequence[Turn]) -> str:
    """Return what a human is told before taking a call: who was called, and the caller's last words, where known."""
    about = f"A call for {call.persona_title}." if call.persona_title else "A call for you."
    said: list[str] = []
    left = _MOST_BRIEFING
    for turn in reversed(turns):
        text = " ".join(turn.text.split())
        if turn.side != "caller" or turn.backchannel or not text:
            continue
        left -= len(text)
        if said and left < 0:
            break
        said.append(text[-_MOST_BRIEFING:])
    return f"{about} The caller said: {'. '.join(reversed(said))}." if said else about
