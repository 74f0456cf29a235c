"""What stands beside the agent in a live call: keys, hand-offs, the watch over both sides, our own sentences.

caller's frames, keys ─▶ Attendant ─▶ announcements, the call's end
agent's frames ─▶ Attendant ─▶ what is heard: the agent, silence, or an announcement
while there are none ─▶ Attendant ─▶ an announcement, or ringing
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from agent.duplex import FRAME_MS, AgentFrame
from agent.pipeline.announcer import Announcement, Announcer, Note, Pcm, Speak
from agent.pipeline.ending import AGENT_HUNG_UP, KEY_PRESSED, CallEnd, Ending
from agent.pipeline.frames import AgentAudio
from agent.pipeline.levels import SilenceGate, rms_of
from agent.pipeline.phrases import PhraseFinder
from agent.pipeline.ring_back import RINGS_AFTER_S, RingBack
from agent.pipeline.watch import Patience, Trouble, Watch
from crm.call import Handoff
from personas.persona import HUMAN_KEY, PersonaCard

ONE_MOMENT = "One moment please, I'm connecting you."
NOBODY = "I'm sorry, nobody is free to take your call right now. Please stay on the line with me."
STILL_THERE = "Are you still there?"
NOBODY_SPEAKS = "I can't hear you any more, so I will end this call. Goodbye."
TIME_NEARLY_UP = "Please note that this call will end in {seconds:.0f} seconds."
GOODBYE = "Goodbye."

CALLER_SILENT = Ending("caller_silent", "Nobody spoke for longer than PARLEY_CALLER_SILENCE_S, twice.")
AGENT_MUTE = Ending("agent_mute", "The agent was silent for PARLEY_AGENT_MUTE_S though the caller waited.")
SENTENCE_ENDS = (".", "!", "?")
PAUSE_FRAMES = 3
TEXT_ENDS_FRAMES = 6
LONGEST_SENTENCE_FRAMES = 10_000 // FRAME_MS
OURS_AFTER_S = 3 * FRAME_MS / 1000
"""How long the engine's frames, which sentences of ours replace, may fail to come before these go without them."""


@dataclass(frozen=True, slots=True)
class Duties:
    """What one call asks for. ``may_hand_off`` tells whether there is anybody at the other end of a hand-off."""

    card: PersonaCard | None = None
    patience: Patience = field(default_factory=Patience)
    speak: Speak | None = None
    may_hand_off: Callable[[Handoff], bool] = lambda handoff: bool(handoff.to)


class Attendant:
    """One call's. Everything is called on the event loop and returns at once.

    ``last_words`` is how the call will end once the sentence that is being spoken was heard, None while it goes on.
    """

    def __init__(self, duties: Duties, end: CallEnd, note: Note) -> None:
        card = duties.card
        self._duties = duties
        self._end = end
        self._note = note
        self._gate = SilenceGate()
        self._watch = Watch(duties.patience)
        self._announcer = Announcer(duties.speak, card.voice if card else "", end, note)
        self._ring_back = RingBack(note)
        self._rules = {rule.id: rule for rule in card.rules if rule.transfer_phrases} if card else {}
        phrases = [(name, phrase) for name, rule in self._rules.items() for phrase in rule.transfer_phrases]
        self._phrases = PhraseFinder(phrases)
        self._leaving: _LastSentence | None = None
        self._is_over = False
        self.last_words: Ending | None = None
        self._was_asked = False
        self._frames_since_text = TEXT_ENDS_FRAMES
        self.loudness = Loudness()

    def close(self) -> None:
        """The call is over."""
        self._announcer.close()
        self._ring_back.stop()

    def key(self, digit: str) -> None:
        """The caller pressed a key: do what the card's menu says. Which key it was goes nowhere."""
        card = self._duties.card
        key = card.key(digit) if card else HUMAN_KEY if digit == HUMAN_KEY.digit else None
        if key is None or self.last_words:
            return
        if key.action == "human":
            self.hand_off(Handoff(key.mode, key.to, "dtmf"), key.say)
        elif key.action == "say":
            self._answer(Announcement("menu", key.say, urgent=True))
        else:
            self._finish("menu", key.say or (card.closing_say if card else GOODBYE), KEY_PRESSED)

    def hand_off(self, handoff: Handoff, say: str = "") -> bool:
        """Tell the caller and give the call to a human; False where there is none, which a caller who asked is told."""
        if self.last_words:
            return True
        if not self._duties.may_hand_off(handoff):
            self._note("handoff_impossible", handoff.why)
            if handoff.why == "dtmf":
                self._answer(Announcement("nobody", NOBODY, urgent=True))
            return False
        self._note("handoff", handoff.why)
        self._finish("handoff", say or ONE_MOMENT, Ending("transferred", handoff=handoff))
        return True

    def warn(self, seconds_left: float) -> None:
        """The longest length allowed is near: tell the caller."""
        if not self.last_words:
            self._announcer.announce(Announcement("time_warning", TIME_NEARLY_UP.format(seconds=seconds_left)))

    def heard(self, pcm: Pcm) -> None:
        """Take the caller's next frame, 8 kHz int16, of those that the engine hears too."""
        if self._announcer.is_busy or self._ring_back.rings:
            self._watch.said()
        trouble = self._watch.heard(rms_of(pcm))
        if self._watch.caller_speaks:
            self._was_asked = False
        if trouble is None or self.last_words:
            return
        if trouble is Trouble.NO_CALLER_AUDIO:
            self._note("one_way_audio", "No sound came from the caller since the call began.")
        elif trouble is Trouble.AGENT_MUTE:
            self._end.settle(AGENT_MUTE)
        elif self._was_asked:
            self._finish("caller_silent", NOBODY_SPEAKS, CALLER_SILENT)
        else:
            self._was_asked = True
            self._announcer.announce(Announcement("still_there", STILL_THERE))

    def said(self, frame: AgentFrame, pcm: Pcm) -> AgentAudio:
        """Take the agent's next frame and its audio as 8 kHz int16; return what the caller is to hear."""
        self._ring_back.stop()
        if self._is_over:
            return AgentAudio(np.zeros_like(pcm), silent=True)
        level = rms_of(pcm)
        is_open = self._gate.is_open(level, has_text=bool(frame.text))
        ours = self._announcer.next_frame(agent_pauses=not is_open)
        if ours is not None:
            ours.ends = AGENT_HUNG_UP if frame.ends_call else ours.ends
            return self._heard_last(ours)
        if is_open:
            self._watch.said()
            self.loudness.add(level)
        ends = AGENT_HUNG_UP if frame.ends_call else self._handed_off(frame.text, is_open)
        return self._heard_last(AgentAudio(pcm if is_open else np.zeros_like(pcm), frame.text, not is_open, ends))

    def waited(self, waited_s: float) -> AgentAudio | None:
        """The engine has sent nothing for so long; return what the caller is to hear for a frame of theirs, if any."""
        if self._is_over:
            return None
        ours = self._announcer.next_frame(agent_pauses=True) if waited_s >= OURS_AFTER_S else None
        if ours is not None:
            return self._heard_last(ours)
        if waited_s < RINGS_AFTER_S and not self._ring_back.rings:
            return None
        return AgentAudio(self._ring_back.next_frame(), silent=True, rings=True)

    def _heard_last(self, said: AgentAudio) -> AgentAudio:
        """Let nothing more be heard after what ends the call."""
        if said.ends:
            self._is_over = True
            self.last_words = said.ends
        return said

    def _answer(self, announcement: Announcement) -> None:
        """Answer a key, but not each of many: who hammers on one hears what is being said first."""
        if not self._announcer.is_busy:
            self._announcer.announce(announcement)

    def _finish(self, kind: str, text: str, ending: Ending) -> None:
        """Say a last sentence, and end the call once it was heard."""
        self.last_words = ending
        self._announcer.announce(Announcement(kind, text, ending, urgent=True))

    def _handed_off(self, text: str, is_open: bool) -> Ending | None:
        """Follow the agent's words; return a hand-off once the sentence is over that a rule hands callers over with."""
        if self._leaving is not None:
            return self._leaving.ends(text, is_open)
        self._frames_since_text = 0 if text else self._frames_since_text + 1
        if text:
            found = self._phrases.find(text)
        else:
            found = self._phrases.pause() if self._frames_since_text == TEXT_ENDS_FRAMES else ""
        if not found or self.last_words:
            return None
        rule = self._rules[found]
        handoff = Handoff(rule.transfer_mode, rule.transfer_to, "rule", rule.id)
        if not self._duties.may_hand_off(handoff):
            self._note("handoff_impossible", rule.id)
            return None
        self._note("handoff", rule.id)
        self.last_words = Ending("transferred", handoff=handoff)
        self._leaving = _LastSentence(self.last_words)
        return self._leaving.ends(text, is_open)


class Loudness:
    """How loud the agent was where it could be heard."""

    def __init__(self) -> None:
        self._power = self._frames = 0

    def add(self, rms: int) -> None:
        self._power += rms * rms
        self._frames += 1

    @property
    def rms(self) -> float:
        """0 where it was never heard."""
        return (self._power / self._frames) ** 0.5 if self._frames else 0.0


class _LastSentence:
    """Waits for the end of the sentence with which the agent leaves the call: its text ends, then its sound."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self._is_complete = False
        self._quiet = self._since_text = self._frames = 0

    def ends(self, text: str, is_open: bool) -> Ending | None:
        """Take a frame; return the ending with the last one."""
        self._frames += 1
        self._quiet = 0 if is_open else self._quiet + 1
        self._since_text = 0 if text else self._since_text + 1
        if text:
            self._is_complete = text.rstrip().endswith(SENTENCE_ENDS)
        is_said = self._is_complete or self._since_text >= TEXT_ENDS_FRAMES
        if not (is_said and self._quiet >= PAUSE_FRAMES) and self._frames < LONGEST_SENTENCE_FRAMES:
            return None
        return self._ending
