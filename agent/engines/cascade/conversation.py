"""What happens in a call, frame by frame: hear, answer, give way. Time is counted in frames.

    windows ──▶ Listener ──Heard──▶ Speaker ──▶ Playout ──▶ AgentFrame
       └──────▶ BargeIn ──hush, speak on, yield──▲

``step`` never waits: recognition, answers and synthesis are tasks, and what they bring is used in the
frame after. So a slow recogniser makes the agent late, never the line.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from agent.duplex import FRAME_MS, AgentFrame, HeardWord, RoleCard
from agent.engines.cascade.activity import Window
from agent.engines.cascade.backchannels import is_backchannel, is_interruption
from agent.engines.cascade.floor import BargeIn, Floor, audible
from agent.engines.cascade.hearing import Heard, Listener, Spawn
from agent.engines.cascade.playout import SILENT_DB
from agent.engines.cascade.ports import Pcm8k, RecogniserSession, Reply, ResponderSession, Voice
from agent.engines.cascade.speaking import Speaker

_SILENCE_MS = 8_000
_PROMPTS = ("Are you still there?", "Hello? I can't hear you. Are you still there?")
_GOODBYE = "I can't hear you, so I will hang up now."
_ECHO_FRAMES = 12  # a phone line's echo comes back within a second
_SPEECH_LIKE_MS = 400
_SPEECH_LIKE_SHARE = 0.5


class Conversation:
    """One call. ``converse`` starts it; ``step`` takes every frame of the caller, from the first on."""

    def __init__(
        self,
        card: RoleCard,
        voice: Voice,
        voice_name: str,
        recogniser: "asyncio.Future[RecogniserSession]",
        spawn: Spawn,
    ) -> None:
        self._card = card
        self._listener = Listener(recogniser, spawn)
        self._speaker = Speaker(voice, voice_name, spawn)
        self._barge_in = BargeIn()
        self._responder: ResponderSession | None = None
        self._answering: Heard | None = None
        self._agent_levels = deque([SILENT_DB], maxlen=_ECHO_FRAMES)
        self._agent_until_ms = 0
        self._quiet_since_ms = 0
        self._prompts = 0
        self._apologised = False
        self._over = False
        self._told: list[HeardWord] = []

    def converse(self, responder: ResponderSession) -> None:
        """Open the call with the agent's greeting."""
        self._responder = responder
        self._speaker.say(responder.opening())

    def step(self, index: int, pcm: Pcm8k, windows: Sequence[Window]) -> AgentFrame:
        """Take the caller's frame ``index``; return the agent's."""
        now_ms = (index + 1) * FRAME_MS
        self._listener.keep(pcm)
        echo_db = max(self._agent_levels)
        for window in windows:
            is_audible = audible(window, echo_db)
            self._listener.hear(window, is_audible, eager=self._barge_in.hushed)
            self._mind_the_floor(window, is_audible)
        if self._speaker.busy and not self._barge_in.hummed and is_interruption(self._listener.draft):
            self._give_way()
        if self._responder is not None and (heard := self._listener.take()) is not None:
            self._take_turn(self._responder, heard)
        self._mind_silence(now_ms)
        if self._speaker.playout.busy:
            self._agent_until_ms = now_ms
        played = self._speaker.playout.next_frame()
        self._agent_levels.append(self._speaker.playout.level_db)
        self._over = self._over or played.ends_call
        told, self._told = tuple(self._told), []
        return AgentFrame(index, played.audio, played.text, told, played.timings, played.ends_call)

    def _mind_the_floor(self, window: Window, is_audible: bool) -> None:
        playout = self._speaker.playout
        if not self._speaker.busy:
            self._barge_in.reset()
            playout.speak_on()
            return
        match self._barge_in.hear(window, is_audible):
            case Floor.HUSH:
                playout.hush()
            case Floor.SPEAK_ON:
                playout.speak_on()
            case Floor.YIELD:
                self._give_way()
            case Floor.KEEP:
                pass

    def _give_way(self) -> None:
        """Stop. A reply that nobody heard a word of was too early: its question is still open."""
        spoken = self._speaker.stop()
        self._barge_in.reset()
        if not spoken and self._answering is not None:
            self._listener.give_back(self._answering)
        self._answering = None

    def _take_turn(self, responder: ResponderSession, heard: Heard) -> None:
        if self._only_encourages(heard):
            self._told += _encouragement(heard, self._barge_in.hummed)
            return
        self._told += heard.words
        if self._speaker.busy:
            self._give_way()
            if self._listener.waiting:  # with the question that the agent had not begun to answer
                self._listener.give_back(heard)
                return
        if heard.transcript.words:
            self._prompts, self._apologised = 0, False
        elif self._apologised or not _speech_like(heard):
            return
        else:
            self._apologised = True
        self._answering = heard
        self._speaker.answer(responder, heard)

    def _only_encourages(self, heard: Heard) -> bool:
        """Whether the caller, while the agent spoke, said nothing that asks for an answer."""
        if self._speaker.busy and not self._speaker.playout.spoken:
            return is_backchannel(heard.transcript) or not heard.transcript.words
        if self._speaker.busy:
            return self._barge_in.hummed or not is_interruption(heard.transcript)
        asked = self._speaker.playout.spoken.endswith("?")
        return heard.utterance.end_ms <= self._agent_until_ms and not asked and is_backchannel(heard.transcript)

    def _mind_silence(self, now_ms: int) -> None:
        if self._responder is None or self._over or self._speaker.busy or self._listener.waiting:
            self._quiet_since_ms = now_ms
        elif now_ms - self._quiet_since_ms >= _SILENCE_MS:
            last = self._prompts >= len(_PROMPTS)
            text = f"{_GOODBYE} {self._card.closing_say}".strip() if last else _PROMPTS[self._prompts]
            self._prompts += 1
            self._answering = None
            self._speaker.say(Reply(text, "goodbye" if last else "still_there", ends_call=last))


def _encouragement(heard: Heard, hummed: bool) -> tuple[HeardWord, ...]:
    """Return what to tell of words that ask for no answer: those that are sure to be encouragement."""
    if is_backchannel(heard.transcript):
        return heard.words
    return (HeardWord("mm-hmm", heard.utterance.start_ms, heard.utterance.end_ms),) if hummed else ()


def _speech_like(heard: Heard) -> bool:
    """Whether something not understood was probably said: long and steady enough, unlike a bark or a knock."""
    length_ms = heard.utterance.end_ms - heard.utterance.start_ms
    return heard.utterance.speech_ms >= max(_SPEECH_LIKE_MS, _SPEECH_LIKE_SHARE * length_ms)
