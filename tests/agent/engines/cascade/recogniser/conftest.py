"""Two cards of different trades, and speech as the phone carries it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import resample_poly

from agent.duplex import CardFact, CardRule, RoleCard
from agent.engines.cascade.espeak import Espeak

Speak = Callable[..., NDArray[np.int16]]


@pytest.fixture(scope="session")
def parcels() -> RoleCard:
    return RoleCard(
        agent_name="Dana Whitlock",
        company="Brightline Couriers",
        role="parcel support agent",
        greeting="Brightline Couriers, this is Dana Whitlock, how can I help?",
        unknown_say="I'm sorry, I don't have that information.",
        off_topic_say="I can only help with deliveries.",
        rude_say="I understand you're upset.",
        closing_say="Thanks for calling Brightline.",
        facts=(
            CardFact("status", "parcel", "text", "out", "Your parcel is out for delivery.", ("Where is my parcel?",)),
            CardFact("fee", "redelivery fee", "amount", "$7.50", "It costs seven dollars and fifty cents."),
            CardFact("depot", "depot", "address", "48 Kestrel Road", "Our depot is at 48 Kestrel Road in Zorblaxton."),
        ),
        rules=(CardRule("address", "refuse", "Does not change the address.", "I can't change the address."),),
        keywords=("signature", "van"),
    )


@pytest.fixture(scope="session")
def yoga() -> RoleCard:
    return RoleCard(
        agent_name="Priya Castellanos",
        company="Ironvale Fitness",
        role="membership advisor",
        greeting="Ironvale Fitness, Priya here.",
        unknown_say="I'm not sure about that.",
        off_topic_say="Let's stay with your membership.",
        rude_say="Let's keep it friendly.",
        closing_say="Bye for now.",
        facts=(
            CardFact("yoga", "yoga class", "time", "Tuesdays", "Yoga is on Tuesdays.", ("When is the yoga class?",)),
        ),
        keywords=("Zumba", "sauna"),
    )


@pytest.fixture(scope="session")
def speak() -> Speak:
    """Speech of eSpeak at 8 kHz with half a second of near silence on both sides."""
    espeak = Espeak()

    def phone(text: str, voice: str = "en-us", level: float = 2_500.0) -> NDArray[np.int16]:
        spoken = espeak.synthesise(text, voice, 150)
        audio = resample_poly(spoken.samples.astype(float), 160, 441)
        audio *= level / np.sqrt(np.mean(audio**2))
        padded = np.pad(audio, 4_000) + np.random.default_rng(0).normal(size=len(audio) + 8_000)
        return np.clip(padded, -32_768, 32_767).astype(np.int16)

    return phone


@pytest.fixture(scope="session")
def model() -> Path:
    """The folder of pocketsphinx's acoustic model and dictionary."""
    import pocketsphinx

    return Path(pocketsphinx.get_model_path("en-us"))
