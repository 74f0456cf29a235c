"""Right answers of the embedded responder to the library's test questions, with clean and with misheard words.

    python tests/benchmarks/responder_answers.py [--json] [--verbose]

Right is: for Q0-Q2 a reply whose topic is a fact the question names; for Q3 its rule (or the card's unknown
sentence, where it names none); for Q4, Q5 and Q6 the card's calm, unknown and redirecting sentence. Misheard
words are made as in agent.engines.cascade.responder.calibrate, with three seeds at each rate.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import defaultdict
from pathlib import Path

from agent.engines.cascade.ports import Transcript, Word
from agent.engines.cascade.responder.calibrate import misheard, read_card, vocabulary_of
from agent.engines.cascade.responder.embedded import EmbeddedResponder
from agent.engines.cascade.responder.index import entries_of
from personas.library import load_library

RATES = (0.0, 0.1, 0.2)
SEEDS = 3


def expected(question) -> set[str]:
    """Return the topics of a right reply."""
    match question.kind.value:
        case "Q0" | "Q1" | "Q2":
            return set(question.facts)
        case "Q3":
            return {question.rule or "unknown"}
        case kind:
            return {{"Q4": "rude", "Q5": "unknown", "Q6": "off_topic"}[kind]}


async def ask(responder: EmbeddedResponder, card, text: str) -> list[str]:
    """Return the topics of the replies to ``text`` on a new call."""
    session = await responder.open(card)
    heard = Transcript(tuple(Word(word, 0, 0, 0.9) for word in text.split()))
    return [reply.topic async for reply in session.reply(heard)]


async def measure(verbose: bool) -> dict:
    """Return the share of right replies by rate and kind of question."""
    responder = EmbeddedResponder()
    await responder.start()
    hits: dict[float, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    paths = {path.stem: path for path in (Path(__file__).parents[2] / "personas" / "library").glob("*.yaml")}
    for persona in load_library():
        card = read_card(paths[persona.slug])
        vocabulary = vocabulary_of(entries_of(card))
        for rate in RATES:
            for seed in range(SEEDS if rate else 1):
                chance = random.Random(f"{persona.slug} {rate} {seed}")
                for question in persona.test_questions:
                    text = misheard(question.ask, rate, vocabulary, chance) if rate else question.ask
                    topics = await ask(responder, card, text)
                    right = bool(set(topics) & expected(question))
                    hits[rate][question.kind.value].append(right)
                    if verbose and not right:
                        print(f"{rate} {persona.slug} {question.kind.value} {text!r} -> {topics}", file=sys.stderr)
    await responder.close()
    return {str(rate): summary(kinds) for rate, kinds in hits.items()}


def summary(kinds: dict[str, list[bool]]) -> dict[str, float]:
    """Return the share of each kind, and of Q0-Q2 with Q5 together."""
    shares = {kind: round(sum(right) / len(right), 3) for kind, right in sorted(kinds.items())}
    counted = [right for kind in ("Q0", "Q1", "Q2", "Q5") for right in kinds[kind]]
    return {"Q0-Q2, Q5": round(sum(counted) / len(counted), 3), **shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--verbose", action="store_true", help="print each wrong answer to stderr")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.verbose))
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    for rate, shares in figures.items():
        print(
            f"words misheard {float(rate):4.0%}: " + "  ".join(f"{kind} {share:.1%}" for kind, share in shares.items())
        )


if __name__ == "__main__":
    main()
