"""Words that keep a speaker going, and words that stop one."""

from agent.engines.cascade.ports import Transcript
from agent.engines.cascade.voice_words import plain

_BACKCHANNELS = frozenset(
    (
        *("yeah", "yes", "yep", "yup", "okay", "ok", "right", "sure", "good", "great", "fine", "mm-hmm", "mm hmm"),
        *("mhm", "hmm", "mm", "uh-huh", "uh huh", "huh", "uh", "um", "ah", "oh", "oh okay", "oh yeah", "alright"),
        *("i see", "got it", "all right", "of course", "thanks", "thank you", "go on", "makes sense", "oh i see"),
    )
)
_STOPPERS = frozenset(
    (
        *("stop", "wait", "no", "hello", "sorry", "pardon", "what", "excuse me", "hold on", "hang on", "one moment"),
        *("bye", "goodbye", "help", "operator", "human", "agent"),
    )
)
_SURE = 0.5
_BACKCHANNEL_WORDS = 2


def _said(transcript: Transcript) -> str:
    return " ".join(filter(None, (plain(word.text.replace("-", " ")) for word in transcript.words)))


def is_backchannel(transcript: Transcript) -> bool:
    """Whether all that was said is "yeah", "okay", "mm-hmm" and the like, perhaps twice."""
    said = _said(transcript)
    words = said.split()
    return said in _BACKCHANNELS or (bool(words) and all(word in _BACKCHANNELS for word in words))


def is_interruption(transcript: Transcript | None) -> bool:
    """Whether a short burst of the caller asks the agent to stop: "wait", "sorry, what", a question."""
    said = _said(transcript) if transcript is not None else ""
    if transcript is None or not said or is_backchannel(transcript):
        return False
    words = said.split()
    if said in _STOPPERS or words[0] in _STOPPERS:
        return True
    confidence = sum(word.confidence for word in transcript.words) / len(transcript.words)
    return len(words) > _BACKCHANNEL_WORDS and confidence >= _SURE
