"""When the words of a written text are heard, given when its spoken form is.

"It costs $120."  +  it·0 costs·210 one·480 hundred·630 twenty·900 dollars·1150
    ──▶ It·0 costs·210 $120.·480
"""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from agent.engines.cascade.ports import SpokenWord


def plain(word: str) -> str:
    """Return a word without case and punctuation."""
    return re.sub(r"[^a-z0-9']", "", word.lower())


def apportion(words: Sequence[str], start_ms: float, end_ms: float) -> list[SpokenWord]:
    """Share the time from ``start_ms`` to ``end_ms`` out to ``words`` by their letters."""
    weights = [2 + len(plain(word)) for word in words]  # a word costs time whatever its length
    total = sum(weights) or 1
    timed, before = [], 0
    for word, weight in zip(words, weights, strict=True):
        timed.append(SpokenWord(word, round(start_ms + (end_ms - start_ms) * before / total)))
        before += weight
    return timed


def align(written: str, spoken: Sequence[SpokenWord], end_ms: float) -> tuple[SpokenWord, ...]:
    """Return the words of ``written`` with the times of the ``spoken`` words that they became.

    Words that are the same anchor the rest; what was rewritten in between shares its time out.
    """
    words = written.split()
    if not spoken:
        return tuple(apportion(words, 0, end_ms))
    times = [word.start_ms for word in spoken] + [end_ms]
    matcher = SequenceMatcher(None, [plain(w) for w in words], [plain(w.text) for w in spoken], autojunk=False)
    timed: list[SpokenWord] = []
    for _, w1, w2, s1, s2 in matcher.get_opcodes():
        if w2 - w1 == s2 - s1:
            timed += [SpokenWord(words[w1 + n], round(times[s1 + n])) for n in range(w2 - w1)]
        else:
            timed += apportion(words[w1:w2], times[s1], times[s2])
    return tuple(timed)
