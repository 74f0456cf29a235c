from collections.abc import Awaitable, Callable

import pytest

from agent.duplex import CardFact, CardRule, RoleCard
from agent.engines.cascade.ports import Reply, ResponderSession, Transcript, Word
from agent.engines.cascade.responder.embedded import EmbeddedResponder

CARD = RoleCard(
    agent_name="Ruth Adler",
    company="Bellwether Cycles",
    role="service advisor",
    greeting="Hello, this is Ruth at Bellwether Cycles. How can I help you?",
    unknown_say="I don't know that, but the workshop can call you back.",
    off_topic_say="I can only help with bicycles and our workshop.",
    rude_say="I understand you're upset. Let me help you with your bicycle.",
    closing_say="Thank you for calling Bellwether Cycles. Goodbye!",
    facts=(
        CardFact(
            "tune_up_price",
            "price of a tune-up",
            "amount",
            "$85",
            "A full tune-up costs $85.",
            ("how much is a tune up", "what do you charge for a full service"),
            ("tune-up", "service", "price", "cost"),
        ),
        CardFact(
            "tune_up_time",
            "how long a tune-up takes",
            "duration",
            "3 days",
            "A tune-up takes 3 days.",
            ("how long does a tune up take", "when can I pick my bike up after a service"),
            ("tune-up", "ready", "days", "wait"),
        ),
        CardFact(
            "saturday_hours",
            "Saturday opening hours",
            "time",
            "9 a.m. to 1 p.m.",
            "On Saturdays we are open from 9 a.m. to 1 p.m.",
            ("are you open on saturdays", "what are your saturday hours"),
            ("saturday", "weekend", "hours"),
        ),
        CardFact(
            "brand",
            "brand of electric bikes",
            "name",
            "Veloria",
            "Our electric bikes are made by Veloria.",
            ("which electric bikes do you sell", "what brand are your electric bikes"),
            ("electric", "brand", "maker"),
        ),
        CardFact(
            "street",
            "address of the shop",
            "address",
            "40 Mill Lane",
            "The shop is at 40 Mill Lane.",
            ("where are you", "what is your address"),
            ("address", "street", "where"),
        ),
    ),
    rules=(
        CardRule(
            "no_discount",
            "refuse",
            "Never give a discount.",
            "I can't give discounts, but tune-ups are cheaper in winter.",
            ("can you give me a discount", "can you make it cheaper"),
        ),
        CardRule(
            "ask_ticket",
            "verify",
            "Ask for the repair ticket number before talking about a repair.",
            "Could you tell me your repair ticket number, please?",
            ("is my bike ready", "what is the status of my repair"),
        ),
        CardRule(
            "to_manager",
            "escalate",
            "Hand callers who ask for a human to the shop manager.",
            "One moment, I'm putting you through to the shop manager.",
            ("let me talk to the manager",),
        ),
    ),
    keywords=("bicycle", "tire", "brake", "gear", "chain", "wheel"),
)


Ask = Callable[..., Awaitable[list[Reply]]]


def heard(text: str, *alternatives: str, confidence: float = 0.9) -> Transcript:
    return Transcript(tuple(Word(word, 0, 0, confidence) for word in text.split()), alternatives)


class Kept(EmbeddedResponder):
    """Stays open when a test closes it, so that the next one need not load the model and read the card again."""

    async def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def embedded() -> EmbeddedResponder:
    """One responder for all tests; its thread is not bound to an event loop."""
    return Kept()


@pytest.fixture
async def responder(embedded: EmbeddedResponder) -> EmbeddedResponder:
    await embedded.start()
    return embedded


@pytest.fixture
def card() -> RoleCard:
    return CARD


@pytest.fixture
async def session(responder: EmbeddedResponder, card: RoleCard) -> ResponderSession:
    return await responder.open(card)


@pytest.fixture
def ask(session: ResponderSession) -> Ask:
    """Say something to ``session`` and collect the replies."""

    async def say(text: str, *alternatives: str, confidence: float = 0.9) -> list[Reply]:
        return [reply async for reply in session.reply(heard(text, *alternatives, confidence=confidence))]

    return say
