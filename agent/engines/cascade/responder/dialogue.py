"""The conversation of one call: what was said and heard decides how a meaning is answered.

    Transcript ─▶ noises, names, digits, yes and no ─▶ meanings ─▶ Reply, Reply, …
                         └────────── Memory ──────────────┘

A reply is remembered when it is given and forgotten when the caller cut it off, so it can be asked again.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from agent.duplex import CardRule, RoleCard
from agent.engines.cascade.normalise import speakable
from agent.engines.cascade.ports import Reply, Transcript
from agent.engines.cascade.responder import acts, phrasing, surface
from agent.engines.cascade.responder.index import ACT, FACT, Entry
from agent.engines.cascade.responder.understanding import Meaning, Understanding
from agent.engines.cascade.responder.words import COMMON, split_words, word_set

HEARD_SHARE = 0.7
"""Share of a sentence that must have been audible for it to count as said."""

DOUBTFUL = 0.35
"""Mean confidence of the words below which an utterance that fits nothing is asked for again."""

OFFER_EVERY = 3
"""Every so many answers the agent asks whether there is anything else."""

_HUMAN = re.compile(r"\b(human|person|representative|supervisor|manager|colleague|operator|someone|somebody)\b")
_ESCALATE, _VERIFY, _STEP = "escalate", "verify", "step"


@dataclass(slots=True)
class Memory:
    """What the agent keeps of a call. ``said`` counts how often each topic was answered and heard."""

    caller: str = ""
    about: Meaning | None = None
    said: dict[str, int] = field(default_factory=dict)
    answers: int = 0
    unclear: int = 0
    turns: dict[str, int] = field(default_factory=dict)
    asked: str = ""  # what the agent's last sentence waits for: "", "more", "proof"
    open_question: Meaning | None = None
    verified: bool = False
    last: tuple[Reply, ...] = ()

    def copy(self) -> "Memory":
        return replace(self, said=dict(self.said), turns=dict(self.turns))


class EmbeddedSession:
    """See agent.engines.cascade.ports.ResponderSession."""

    def __init__(self, card: RoleCard, understanding: "Future[Understanding]") -> None:
        """Answer from ``card``; ``understanding`` may still be under way, the first reply waits for it."""
        self._card = card
        self._understanding = understanding
        self._memory = Memory(caller=card.customer_name)
        self._before = self._memory.copy()
        known = (card.agent_name, card.company, card.role, *card.keywords)
        self._no_names = frozenset(word for text in known for word in split_words(text))

    def opening(self) -> Reply:
        """Return the card's greeting, with the customer's name when it is known."""
        text = self._card.greeting
        name = self._card.customer_name.split()[0] if self._card.customer_name else ""
        if name and name.lower() not in text.lower():
            first, *rest = phrasing.sentences(text)
            text = " ".join([re.sub(r"^(Hello|Hi|Good \w+)\b", rf"\1 {name}", first), *rest])
        reply = Reply(text, acts.GREETING)
        self._memory.last = (reply,)
        return reply

    async def reply(self, heard: Transcript) -> AsyncIterator[Reply]:
        """Yield the sentences that answer; nothing for a mere "mm-hmm"."""
        understanding = await asyncio.wrap_future(self._understanding)
        self._before = self._memory.copy()
        self._memory.asked, asked = "", self._memory.asked
        replies = self._by_words(heard, asked)
        if replies is None:
            heard = replace(heard, words=surface.without_name(heard.words, self._memory.caller))
            meanings = await understanding.meanings(heard, self._memory.about)
            replies = self._by_meaning(meanings, heard)
        given: tuple[Reply, ...] = ()
        for reply in replies:
            given = (*given, reply)
            if reply.topic != acts.UNCLEAR:
                self._memory.unclear = 0
            self._memory.last = given
            yield reply

    def was_cut_off(self, spoken: str) -> None:
        """Forget what of the last reply was not heard; all of the turn when nothing was."""
        heard = len(spoken.split())
        if not heard:
            self._memory = self._before
            return
        kept = []
        for reply in self._memory.last:
            length = len(reply.text.split())
            if not _starts_alike(spoken, reply.text):
                length = len(speakable(reply.text).split())
            if heard < HEARD_SHARE * length:
                self._memory.said[reply.topic] = self._before.said.get(reply.topic, 0)
                self._memory.asked = ""
            else:
                kept.append(reply)
            heard = max(heard - length, 0)
            spoken = " ".join(spoken.split()[length:])

    # What words alone decide

    def _by_words(self, heard: Transcript, asked: str) -> Iterator[Reply] | None:
        """Return the reply where no meaning need be looked up, else None."""
        text = " ".join(split_words(heard.text))
        rest = surface.without_openers(text)
        if not [word for word in split_words(heard.text) if word not in acts.FILLERS]:
            return self._not_caught() if not text else iter(())
        if asked == "proof" and self._is_proof(heard.text):
            return self._proved()
        if name := surface.name_given(heard.text, self._no_names):
            self._memory.caller = name
            if self._is_only_a_name(rest, name):
                return iter([Reply(f"Nice to meet you, {name.split()[0]}. How can I help you?", acts.NAME)])
        if surface.gives_numbers(heard.text):
            return self._act(acts.NUMBERS)
        return self._by_short_words(text, rest, asked)

    def _by_short_words(self, text: str, rest: str, asked: str) -> Iterator[Reply] | None:
        denied = text in acts.DENIALS or text.removesuffix(" thank you").removesuffix(" thanks") in acts.DENIALS
        if re.search(acts.FAREWELL, text) and len(text.split()) <= 8:
            return self._goodbye()
        if denied:
            return self._goodbye() if asked == "more" else self._act(acts.NO)
        if text in acts.AGREEMENTS:
            return self._act(acts.YES)
        if text in acts.BACKCHANNELS:
            return self._act(acts.BACKCHANNEL) if not asked else self._act(acts.YES)
        if rest:
            return None
        return self._act(acts.THANKS if "thank" in text else acts.GREETING)

    def _is_proof(self, text: str) -> bool:
        """Return whether ``text`` may be what a rule asked for: digits, a spelling, or hardly more than a name."""
        words = split_words(text)
        named = bool(surface.name_given(text, self._no_names)) or surface.gives_numbers(text)
        return named or any(map(str.isdigit, words)) or (len(words) <= 3 and not COMMON & set(words))

    def _is_only_a_name(self, rest: str, name: str) -> bool:
        others = set(split_words(rest)) - set(name.lower().split())
        return others <= word_set("my name is name's i'm i am it's this calling speaking here called and the")

    # What meanings decide

    def _by_meaning(self, meanings: list[Meaning], heard: Transcript) -> Iterator[Reply]:
        for meaning in meanings:
            entry = meaning.entry
            if entry is None:
                yield from self._unknown(heard)
            elif entry.family == ACT:
                yield from self._meant_act(meaning)
            else:
                yield from self._answer(meaning, entry)
        if any(meaning.entry is not None and meaning.entry.family == FACT for meaning in meanings):
            yield from self._afterwards()

    def _answer(self, meaning: Meaning, entry: Entry) -> Iterator[Reply]:
        if entry.kind == _VERIFY and entry.family != FACT:
            yield from self._verify(meaning, entry)
            return
        memory = self._memory
        times = memory.said.get(entry.topic, 0)
        memory.said[entry.topic] = times + 1
        memory.about = meaning
        memory.answers += 1
        yield Reply(phrasing.again(entry.say, times) if times else entry.say, entry.topic)

    def _verify(self, meaning: Meaning, entry: Entry) -> Iterator[Reply]:
        if self._memory.verified:
            yield from self._unknown(None)
            return
        self._memory.asked = "proof"
        self._memory.open_question = meaning
        self._memory.said[entry.topic] = self._memory.said.get(entry.topic, 0) + 1
        yield Reply(entry.say, entry.topic)

    def _proved(self) -> Iterator[Reply]:
        """Thank for what was asked; what the card then knows nothing of, it says so."""
        self._memory.verified = True
        self._memory.open_question = None
        yield Reply("Thank you.", acts.NUMBERS)
        yield self._turned(self._card.unknown_say, acts.UNKNOWN)

    def _afterwards(self) -> Iterator[Reply]:
        """Now and then ask for more; first, what the card wants said in every call."""
        step = next((r for r in self._rules(_STEP) if r.say and not self._memory.said.get(r.id)), None)
        if step is not None and not step.questions:
            self._memory.said[step.id] = 1
            yield Reply(step.say, step.id)
        elif self._memory.answers % OFFER_EVERY == 0:
            self._memory.asked = "more"
            yield Reply(acts.ANYTHING_ELSE[self._turn("more") % len(acts.ANYTHING_ELSE)], "anything_else")

    def _meant_act(self, meaning: Meaning) -> Iterator[Reply]:
        match meaning.topic:
            case acts.GOODBYE:
                return self._goodbye()
            case acts.REPEAT:
                return self._repeat(acts.REPEAT)
            case acts.SLOWER:
                return self._repeat(acts.SLOWER)
            case acts.SPELL:
                return self._spell()
            case acts.IDENTITY:
                return self._identity(meaning.text)
            case acts.HUMAN:
                return self._human()
            case acts.RUDE:
                return iter([self._turned(self._card.rude_say, acts.RUDE)])
            case acts.OFF_TOPIC:
                return iter([self._turned(self._card.off_topic_say, acts.OFF_TOPIC)])
            case topic:
                return self._act(topic)

    def _act(self, topic: str) -> Iterator[Reply]:
        wordings = acts.REPLIES[topic]
        text = wordings[self._turn(topic) % len(wordings)]
        if "else" in text:
            self._memory.asked = "more"
        if topic == acts.THANKS and self._turn("named") % 2 == 0:
            text = phrasing.with_name(text, self._memory.caller)
        yield Reply(text, topic)

    def _goodbye(self) -> Iterator[Reply]:
        yield Reply(self._card.closing_say, acts.CLOSING, ends_call=True)

    def _repeat(self, topic: str) -> Iterator[Reply]:
        matters = [reply for reply in self._memory.last if reply.topic not in acts.NOT_REPEATED]
        if not matters:
            yield Reply(f"{self._lead(topic)} How can I help you?", topic)
            return
        yield Reply(self._lead(topic), topic)
        yield from matters

    def _spell(self) -> Iterator[Reply]:
        fact = next((f for f in self._card.facts if self._memory.about and f.id == self._memory.about.topic), None)
        if fact is not None and len(fact.value) <= 60:
            yield Reply(f"That is spelled: {phrasing.spelled(fact.value)}", acts.SPELL)
        else:
            yield Reply(f"My name is spelled: {phrasing.spelled(self._card.agent_name)}", acts.SPELL)

    def _identity(self, asked: str) -> Iterator[Reply]:
        own = f"I'm {self._card.agent_name}, {phrasing.with_article(self._card.role)} at {self._card.company}."
        if re.search(r"robot|machine|computer|real|human|person|artificial|a i\b|\bai\b|bot\b|recording", asked):
            own = f"I'm {self._card.agent_name}, the automated {_bare(self._card.role)} of {self._card.company}."
        yield Reply(f"{own} How can I help you?", acts.IDENTITY)

    def _human(self) -> Iterator[Reply]:
        rule = self._way_to_a_human()
        if rule is not None:
            yield self._turned(rule.say, rule.id)
        else:
            yield self._turned(self._card.unknown_say, acts.HUMAN)

    def _unknown(self, heard: Transcript | None) -> Iterator[Reply]:
        """Say what the card says for things it doesn't hold; ask again first when the words are doubtful."""
        if heard is not None and heard.words and self._memory.unclear == 0:
            mean = sum(word.confidence for word in heard.words) / len(heard.words)
            if mean < DOUBTFUL:
                yield from self._not_caught()
                return
        yield self._turned(self._card.unknown_say, acts.UNKNOWN)

    def _not_caught(self) -> Iterator[Reply]:
        memory = self._memory
        wordings = acts.REPLIES[acts.UNCLEAR]
        text = wordings[min(memory.unclear, len(wordings) - 1)]
        memory.unclear += 1
        if memory.unclear < len(wordings):
            yield Reply(text, acts.UNCLEAR)
            return
        memory.unclear = 0
        rule = self._way_to_a_human()
        yield Reply(f"{text} {rule.say if rule else self._card.unknown_say}", rule.id if rule else acts.UNKNOWN)

    def _way_to_a_human(self) -> CardRule | None:
        """Return the rule that hands over any caller, not one for a special case such as fraud."""
        rules = (rule for rule in self._rules(_ESCALATE) if rule.say)
        return next((rule for rule in rules if _HUMAN.search(" ".join((rule.text, *rule.questions)))), None)

    # Wordings

    def _turned(self, text: str, topic: str) -> Reply:
        """Return a card's standing sentence; worded differently when it was the last thing said, too."""
        if not any(reply.topic == topic for reply in self._before.last):
            return Reply(text, topic)
        before = acts.BEFORE_THE_SAME.get(topic)
        turn = self._turn(topic)
        return Reply(f"{before[turn % len(before)]} {text}" if before else phrasing.again(text, 1 + turn), topic)

    def _lead(self, topic: str) -> str:
        return acts.REPLIES[topic][self._turn(topic) % len(acts.REPLIES[topic])]

    def _turn(self, topic: str) -> int:
        """Return how often ``topic`` had its turn before, and count it."""
        count = self._memory.turns.get(topic, 0)
        self._memory.turns[topic] = count + 1
        return count

    def _rules(self, kind: str) -> Iterator[CardRule]:
        return (rule for rule in self._card.rules if rule.kind == kind)


def _starts_alike(spoken: str, text: str) -> bool:
    own, other = spoken.split()[:3], text.split()[:3]
    return own == other[: len(own)]


def _bare(role: str) -> str:
    return re.sub(r"^(a|an|the)\s+", "", role)
