"""The role cards that come with Parley: ten companies' customer-service scenarios, a YAML file each."""

from pathlib import Path

from personas.card_files import load_card, load_cards, read_mapping
from personas.numbers import check_number
from personas.persona import PersonaCard

__all__ = ["FOLDER", "library_numbers", "load_card", "load_library"]

FOLDER = Path(__file__).parent
_NUMBERS = FOLDER / "numbers.yaml"


def load_library() -> list[PersonaCard]:
    """Return the cards, by slug."""
    return load_cards(path for path in sorted(FOLDER.glob("*.yaml")) if path != _NUMBERS)


def library_numbers() -> dict[str, str]:
    """Return the phone numbers (E.164) of the library and the slug of the persona that answers each."""
    return {check_number(number): slug for number, slug in read_mapping(_NUMBERS).items()}
