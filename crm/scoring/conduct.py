"""How the agent behaved: who it said it was, whether it kept its side, its rules, its calm, its goodbye."""

import re
from collections import Counter
from dataclasses import dataclass

from crm.call import Call
from crm.scoring import phrases
from crm.scoring.conversation import NOT_APPLICABLE, AgentTurn, Conversation, Finding, Topics
from crm.scoring.facts import says_unknown
from crm.scoring.words import Sentence, content, find_name, plain, share, sounds_alike, words
from personas.persona import PersonaCard, Rule, RuleKind

LIKE_CARD = 0.5  # share of the card's own words that make an answer the card's
LED_BACK = 0.7  # the same, where any answer about the business has some of them
LOOP_TIMES, LOOP_WORDS = 3, 4


@dataclass(frozen=True, slots=True)
class ConductCheck:
    """Checks one call's conduct against a card."""

    card: PersonaCard
    topics: Topics
    talk: Conversation
    call: Call

    def identity(self) -> Finding:
        """Return whether the agent said who it is, and never that it is somebody else."""
        stated: Finding | None = None
        for turn in self.talk.agent:
            for sentence in turn.sentences:
                if other := self._other_identity(sentence.text):
                    return turn.finding("fail", f"It claims to be, or to be from, {other}.", sentence)
                if stated is None and self._names_itself(sentence.text):
                    stated = turn.finding("pass", "It says who it is.", sentence)
        if stated:
            return stated
        for turn in self.talk.agent:
            if phrases.WHO.search(plain(turn.asked)):
                return turn.finding("fail", "The caller asked who is speaking, and was not told.")
        return NOT_APPLICABLE

    def _names_itself(self, text: str) -> bool:
        first = self.card.agent.name.split()[0]
        return any(find_name(name, text) is not None for name in (self.card.agent.company, self.card.agent.name, first))

    def _other_identity(self, text: str) -> str:
        if found := phrases.MODEL.search(text):
            return found[1]
        claims = [*phrases.MAKER.finditer(text), *phrases.OWN_NAME.finditer(text)]
        claims += [there for found in claims if (there := phrases.AFTER_NAME.match(text[found.end() :]))]
        for found in claims:
            name = next(group for group in found.groups() if group).strip()
            if name.split()[0].lower() not in phrases.NOT_NAMES and not self._is_own(name):
                return name
        return ""

    def _is_own(self, name: str) -> bool:
        """Whether a name is the agent's, the company's or another of the card's, in whole or in part, by any ear."""
        own = [self.card.agent.name, self.card.agent.company, self.card.title]
        own += [part for whole in own[:2] for part in whole.split()]
        if plain(name) in plain(" ".join(self._card_sentences())):
            return True
        is_known = any(sounds_alike(name, one) or sounds_alike(name.split()[0], one) for one in own)
        return is_known or any(find_name(one, name) is not None for one in own[:2])

    def role(self) -> Finding:
        """Return whether the agent ever spoke as the customer."""
        allowed = plain(" ".join(self._card_sentences()))
        for turn in self.talk.agent:
            for sentence in turn.sentences:
                found = phrases.CUSTOMER.search(plain(sentence.text))
                if found and found[0] not in allowed:
                    return turn.finding("fail", "It speaks as the customer does.", sentence)
        return Finding("pass", "It speaks as the agent throughout.") if self.talk.agent else NOT_APPLICABLE

    def _card_sentences(self) -> list[str]:
        card = self.card
        says = [part.say for part in (*card.facts, *card.rules)]
        return [card.greeting, card.unknown_say, card.off_topic_say, card.rude_say, card.closing_say, *says]

    def rule(self, rule: Rule) -> Finding:
        """Return whether a rule was kept where it was called for; its forbidden phrases count everywhere."""
        for turn in self.talk.agent:
            for sentence in turn.sentences:
                for phrase in rule.forbidden_phrases:
                    if _holds(sentence.text, phrase) and not self._after_verification(rule, turn):
                        return turn.finding("fail", f"It says “{phrase}”, which the card forbids.", sentence)
        if rule.kind == RuleKind.STEP:
            return self._step(rule)
        for turn in self.talk.agent:
            if self.topics.asks_for(turn.asked) == rule.id:
                return self._answer(rule, turn)
        if self.topics.asks_for(self.talk.closing_words) == rule.id:
            return Finding("unresolved", "It was called for, and the call ended before an answer.")
        return NOT_APPLICABLE

    def _after_verification(self, rule: Rule, turn: AgentTurn) -> bool:
        """What must not be said before the caller is known may be said once the agent has asked, and been told."""
        if rule.kind != RuleKind.VERIFY:
            return False
        asked = [other.index for other in self.talk.agent if self._like(rule.say, other.text)]
        return bool(asked) and any(asked[0] < index < turn.index for index, _ in self.talk.caller)

    def _answer(self, rule: Rule, turn: AgentTurn) -> Finding:
        sentence = self._nearest(rule.say, turn)
        said = plain(turn.text)
        if self._like(rule.say, turn.text):
            return turn.finding("pass", "Answered as the card has it.", sentence)
        match rule.kind:
            case RuleKind.REFUSE if phrases.REFUSAL.search(said):
                return turn.finding("pass", "Refused.", sentence)
            case RuleKind.REFUSE if phrases.AGREES.search(said):
                return turn.finding("fail", "Agreed to what the card refuses.", sentence)
            case RuleKind.ESCALATE if phrases.HAND_OVER.search(said):
                return turn.finding("pass", "Handed over.", sentence)
            case RuleKind.VERIFY if "?" in turn.text and self._like(rule.say, turn.text, 0.3):
                return turn.finding("pass", "Asked first.", sentence)
        return turn.finding("unresolved", "It was called for; the answer does not hold the card's words.")

    def _step(self, rule: Rule) -> Finding:
        """A step must be taken after those that the card has before it."""
        places = {step.id: self._place(step) for step in self.card.rules if step.kind == RuleKind.STEP}
        own = places[rule.id]
        if own is None:
            return Finding("unresolved", "The card's words for this step were not found.")
        turn = self.talk.agent[own]
        before = [place for step, place in list(places.items())[: list(places).index(rule.id)]]
        if any(place is not None and place > own for place in before):
            return turn.finding("fail", "Done before a step that the card has earlier.")
        return turn.finding("pass", "Done.", self._nearest(rule.say or rule.text, turn))

    def _place(self, step: Rule) -> int | None:
        wanted = step.say or step.text
        return next((place for place, turn in enumerate(self.talk.agent) if self._like(wanted, turn.text)), None)

    def calm(self) -> Finding:
        """Return how the agent answered rudeness."""
        found: Finding | None = None
        for turn in self.talk.agent:
            said = plain(turn.text)
            if phrases.INSULT.search(said):
                return turn.finding("fail", "It is rude itself.")
            if found is None and phrases.RUDE.search(plain(turn.asked)):
                is_calm = phrases.CALM.search(said) or self._like(self.card.rude_say, turn.text)
                result, reason = (
                    ("pass", "Stayed calm.") if is_calm else ("unresolved", "Neither calm words nor rude ones.")
                )
                found = turn.finding(result, reason)  # pyright: ignore[reportArgumentType]
        return found or NOT_APPLICABLE

    def topic(self) -> Finding:
        """Return whether the agent led the caller back, in the card's words."""
        for turn in self.talk.agent:
            if turn.asked and self._like(self.card.off_topic_say, turn.text, LED_BACK):
                sentence = self._nearest(self.card.off_topic_say, turn)
                return turn.finding("pass", "Led back to its business.", sentence)
        return NOT_APPLICABLE

    def loops(self) -> Finding:
        """Return whether the agent said one sentence three times and more, unasked."""
        count: Counter[str] = Counter()
        for turn in self.talk.agent:
            asked_again = re.search(r"\b(again|repeat|pardon|say that|what)\b", plain(turn.asked))
            for sentence in turn.sentences:
                same = plain(sentence.text)
                if len(words(sentence.text)) < LOOP_WORDS or asked_again or says_unknown(self.card, sentence.text):
                    continue
                count[same] += 1
                if count[same] >= LOOP_TIMES:
                    return turn.finding("fail", f"Said {count[same]} times.", sentence)
        return (
            Finding("pass", "No sentence came three times.") if len(self.talk.agent) >= LOOP_TIMES else NOT_APPLICABLE
        )

    def closing(self) -> Finding:
        """Return whether the agent answered the caller's goodbye, or said one before it hung up."""
        last = self.talk.agent[-1] if self.talk.agent else None
        if last and (phrases.BYE.search(plain(last.text)) or self._like(self.card.closing_say, last.text)):
            return last.finding("pass", "Said goodbye.", self._nearest(self.card.closing_say, last))
        if last and self.call.outcome == "agent_hung_up" and not self.call.reason:  # with one, somebody else did
            return last.finding("fail", "It hung up without a goodbye.")
        if last and last.asked and phrases.BYE.search(plain(last.asked)):
            return last.finding("unresolved", "The caller said goodbye; the answer holds none.")
        return NOT_APPLICABLE

    def _like(self, say: str, text: str, least: float = LIKE_CARD) -> bool:
        wanted = content(say)
        return bool(wanted) and share(wanted, content(text)) >= least

    def _nearest(self, say: str, turn: AgentTurn) -> Sentence | None:
        wanted = content(say)
        return max(turn.sentences, key=lambda sentence: share(wanted, content(sentence.text)), default=None)


def _holds(text: str, phrase: str) -> bool:
    """Whether a text holds a phrase, word by word, not denied just before it."""
    said, wanted = f" {plain(text)} ", f" {plain(phrase)} "
    place = said.find(wanted)
    return place >= 0 and not re.search(
        r"\b(not|never|don't|won't|cannot|can't|didn't)( \w+){0,2}$", said[: place + 1].strip()
    )
