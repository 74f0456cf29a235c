"""From a transcript to what is meant: the entries asked for, in the order they were asked.

readings ─┬─ whole ────▶ rank ─┐
          ├─ clauses ──▶ rank ─┼─▶ Meaning, Meaning, …
          └─ with the last topic ▶ rank ─┘
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.engines.cascade.ports import Transcript
from agent.engines.cascade.responder import acts, surface
from agent.engines.cascade.responder.encoder import Encoder
from agent.engines.cascade.responder.index import ACT, FACT, CardIndex, Entry, Query
from agent.engines.cascade.responder.ranking import Ranking, Weights, rank
from agent.engines.cascade.responder.words import split_words

READINGS = 3
READING_DOUBT = 1.0
"""What counts against each further reading of the recogniser, as a logit."""

SEGMENT_DOUBT = 1.5
"""What counts against a part of an utterance standing for the whole."""

MOST_ANSWERS = 3
RIVAL_SHARE = 0.5
"""How likely a second fact must be, as a share of the likeliest one, to be told with it."""

CLAUSE_CHANCE = 0.5
"""How likely each clause's own meaning must be before an utterance counts as several questions."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one part of an utterance asks: an entry, or none of the card (``entry`` None). ``chance`` is 0 … 1.

    ``rival`` is a second fact that is nearly as likely; telling both answers the caller either way.
    """

    entry: Entry | None
    chance: float
    text: str
    rival: "Meaning | None" = None

    @property
    def topic(self) -> str:
        return acts.UNKNOWN if self.entry is None else self.entry.topic


class Understanding:
    """One card's index with the encoder and the weights; knows no conversation."""

    def __init__(self, index: CardIndex, encoder: Encoder, weights: Weights) -> None:
        self._index = index
        self._encoder = encoder
        self._weights = weights

    async def meanings(self, heard: Transcript, last: Meaning | None) -> list[Meaning]:
        """Return what was meant, 1 … MOST_ANSWERS meanings; ``last`` is what the conversation was about."""
        return await self._encoder.run(lambda: self._meanings(heard, last))

    def _meanings(self, heard: Transcript, last: Meaning | None) -> list[Meaning]:
        readings = _readings(heard)
        parts = surface.clauses(readings[0])
        leaning = readings[0] if last is not None and surface.is_follow_up(readings[0]) else ""
        combined = f"{last.text} {surface.follow_up_matter(leaning)}" if last is not None and leaning else ""
        extra = [*(parts if len(parts) > 1 else ()), *([combined] if combined else ())]
        segments = surface.segments(readings[0])
        vectors = dict(zip(texts := [*readings, *segments, *extra], self._encoder.encode(texts), strict=True))
        whole = self._meaning(
            [
                *(Query(text, vectors[text], READING_DOUBT * place) for place, text in enumerate(readings)),
                *(Query(text, vectors[text], SEGMENT_DOUBT) for text in segments),
            ]
        )
        if combined and last is not None:
            return [self._followed(whole, self._meaning([Query(combined, vectors[combined])]), last, leaning)]
        if len(parts) > 1:
            return self._several(whole, [self._meaning([Query(part, vectors[part])]) for part in parts])
        return [whole] if whole.rival is None else [whole, whole.rival]

    def _meaning(self, readings: Sequence[Query]) -> Meaning:
        ranking: Ranking = rank(self._index, readings, self._weights)
        if ranking.best is None:
            return Meaning(None, ranking.nothing, readings[0].text)
        text = readings[0].text
        best, second = self._index.entries[ranking.best], ranking.rival(RIVAL_SHARE)
        rival = None if second is None else Meaning(self._index.entries[second], float(ranking.chances[second]), text)
        both_facts = rival is not None and rival.entry is not None and best.family == rival.entry.family == FACT
        return Meaning(best, float(ranking.chances[ranking.best]), text, rival if both_facts else None)

    def _followed(self, whole: Meaning, combined: Meaning, last: Meaning, leaning: str) -> Meaning:
        """Choose between an utterance by itself and the same with the last topic before it."""
        if whole.entry is not None and (whole.chance >= combined.chance or whole.entry.family == ACT):
            return whole
        points_back = not surface.follow_up_matter(leaning)
        if combined.entry is None or combined.entry.family == ACT or (combined.topic == last.topic and not points_back):
            return whole
        return combined

    def _several(self, whole: Meaning, parts: list[Meaning]) -> list[Meaning]:
        """Choose between one meaning and several; an act among clauses ("hi", "thanks") yields to the rest."""
        clear = [part for part in parts if part.entry is not None and part.chance >= CLAUSE_CHANCE]
        rude = [part for part in clear if part.topic == acts.RUDE]
        matters = [part for part in clear if part.entry is not None and part.entry.family != ACT]
        distinct = list({part.topic: part for part in matters}.values())
        if rude or whole.topic == acts.RUDE:
            return [(rude or [whole])[0], *distinct[:1]]
        if len(distinct) > 1 or (distinct and (whole.entry is None or whole.entry.family == ACT)):
            return distinct[:MOST_ANSWERS]
        return [whole] if whole.rival is None else [whole, whole.rival]


def _readings(heard: Transcript) -> list[str]:
    """Return the distinct readings without their openers, the likeliest first; at least one."""
    first = surface.without_openers(heard.text) or heard.text.lower()
    others = (surface.without_openers(text) for text in heard.alternatives)
    readings = dict.fromkeys([first, *(text for text in others if split_words(text))])
    return list(readings)[:READINGS]
