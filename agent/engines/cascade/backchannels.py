"""Words that keep a speaker going, and words that stop one."""

import re

from agent.engines.cascade.ports import Transcript

_WORDS = """yeah yes yep yup okay ok right sure good great fine alright thanks mm hm hmm mhm mmhmm uh huh uhhuh um
ah oh"""
_BACKCHANNELS = frozenset(_WORDS.split())
_PHRASES = frozenset(("i see", "oh i see", "got it", "all right", "of course", "thank you", "go on", "makes sense"))
_STOPPERS = frozenset(
    (
        *("stop", "wait", "no", "hello", "sorry", "pardon", "what", "excuse", "hold on", "hang on", "one moment"),
        *("bye", "goodbye", "help", "operator", "human", "agent"),
    )
)
_SURE = 0.65
_LEAST_WORDS = 3


def _said(transcript: Transcript) -> str:
    return re.sub(r"[^a-z' ]", "", transcript.text.lower().replace("-", " "))


def is_backchannel(transcript: Transcript) -> bool:
    """Whether all that was said is "yeah", "okay", "mm-hmm" and the like, perhaps twice."""
    said = _said(transcript)
    return said in _PHRASES or (bool(said) and set(said.split()) <= _BACKCHANNELS)


def is_interruption(transcript: Transcript | None) -> bool:
    """Whether a short burst of the caller asks the agent to stop: "wait", "sorry, what", a question."""
    if transcript is None or not transcript.words or is_backchannel(transcript):
        return False
    words = _said(transcript).split()
    if words[:1] and (words[0] in _STOPPERS or " ".join(words[:2]) in _STOPPERS):
        return True
    confidence = sum(word.confidence for word in transcript.words) / len(transcript.words)
    return len(words) >= _LEAST_WORDS and confidence >= _SURE
