"""The library's cards are fit, and the linter finds each thing that makes a card unfit."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from personas.library import library_numbers, load_library
from personas.lint import lint_card, overlap
from personas.persona import FactKind, PersonaCard, RuleKind
from personas.prompt import render_role_prompt

LIBRARY = load_library()
BY_SLUG = pytest.mark.parametrize("card", LIBRARY, ids=lambda card: card.slug)


@BY_SLUG
def test_a_card_of_the_library_is_fit(card: PersonaCard) -> None:
    assert [str(finding) for finding in lint_card(card)] == []
    assert 8 <= len(card.facts) <= 12
    assert 3 <= len(card.rules) <= 6
    assert all(8 <= len(fact.questions) <= 20 for fact in card.facts)
    assert len({fact.kind for fact in card.facts}) >= 4
    assert {RuleKind.REFUSE, RuleKind.VERIFY} <= {rule.kind for rule in card.rules}


def test_the_ten_cards_are_of_different_companies_and_use_every_common_kind() -> None:
    assert len(LIBRARY) == 10
    assert len({card.agent.company for card in LIBRARY}) == 10
    assert len({card.agent.name.split()[0] for card in LIBRARY}) == 10
    assert len({card.voice for card in LIBRARY}) == 10
    assert {fact.kind for card in LIBRARY for fact in card.facts} == set(FactKind)


def test_each_card_has_a_number() -> None:
    assert sorted(library_numbers().values()) == [card.slug for card in LIBRARY]
    assert sorted(library_numbers()) == [f"+155501{number:02}" for number in range(10)]


@BY_SLUG
def test_the_role_prompt_has_the_trained_form_and_length(card: PersonaCard) -> None:
    prompt = render_role_prompt(card, "The caller is Ana Lee")
    opening = f"You work for {card.agent.company} which is {card.agent.business} and your name is {card.agent.name}."
    assert prompt.startswith(f"{opening} Information: ")
    assert all(fact.say in prompt for fact in card.facts)
    assert all(rule.text in prompt for rule in card.rules)
    assert prompt.endswith("About the caller: The caller is Ana Lee.")
    assert "\n" not in prompt
    # The model was trained on at most 2 048 frames, one piece of text a frame; a word is 1.4 pieces or so.
    assert len(prompt.split()) * 1.5 < 1_000


def _with(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(card: dict[str, Any]) -> None:
        *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
        target: Any = card
        for part in way:
            target = target[part]
        target[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "finding"),
    [
        ("greeting", "Hello, this is Marisol.", "greeting: it must say the agent's company"),
        ("greeting", "Brightwater Dental, hello.", "greeting: it must say the agent's name"),
        ("unknown_say", "I do not know", "unknown_say: end it with"),
        ("rude_say", "No \N{SMILING FACE WITH SMILING EYES}.", "rude_say: the character"),
        ("closing_say", "It\N{RIGHT SINGLE QUOTATION MARK}s over.", "closing_say: the character"),
        ("facts.1.say", "See https://example.com for the $120.", "cleaning_price.say: 'https:' can't"),
        ("facts.1.say", "A cleaning is $121.", "cleaning_price.say: it must hold the value"),
        ("facts.1.say", "A cleaning is $120. " + "Really. " * 40, "cleaning_price.say: at 339 characters"),
        ("facts.1.value", "cheap", "cleaning_price.value: 'cheap' is no amount"),
        ("facts.1.questions", ["what is it"], "cleaning_price.questions: give at least 3"),
        ("facts.1.keywords", [], "cleaning_price.keywords: give the words"),
        ("facts.1.questions.0", "Who is the dentist?", "'who is the dentist' stands already in dentist.questions"),
        ("rules.0.say", "", "no_prescriptions.say: a rule with questions"),
        ("rules.0.say", "Take two tablets.", "no_prescriptions.say: it says what no_prescriptions forbids"),
        ("rules.3.transfer_phrases", ["let me get the manager"], "one of them must stand in the rule's say"),
        ("rules.3.transfer_phrases", ["our office manager", "today"], "'today' is too common"),
        (
            "menu",
            [{"digit": "5", "action": "say", "say": "It is 5 o'clock"}],
            "menu.5.say: end it with",
        ),
        ("menu", [{"digit": "0", "action": "hang_up"}], "menu: no key leads to a human"),
        (
            "test_questions.1.ask",
            "What do you charge for a cleaning?",
            "Q1: 'What do you charge for a cleaning?' is too",
        ),
        ("test_questions.1.ask", "so what do you charge for the cleaning", "is too near to the sample question"),
        ("test_questions.1.ask", "price please", "Q1: ask it in 5 to 14 words"),
        ("test_questions.1.facts", [], "Q1: name the one or two facts"),
        ("test_questions.0.facts", ["address"], "Q0: it must ask for a fact of kind name"),
        ("test_questions.3.rule", "offer_booking", "Q3: name the rule of kind refuse"),
        ("test_questions.5.facts", ["address"], "Q5: no fact answers it"),
        ("test_questions.5.kind", "Q6", "test_questions: Q5 must stand there exactly once, not 0"),
    ],
)
def test_what_makes_a_card_unfit_is_found(path: str, value: Any, finding: str) -> None:
    fields = LIBRARY[0].model_dump(mode="json")
    _with(path, value)(fields)
    found = [str(each) for each in lint_card(PersonaCard.model_validate(fields))]
    assert any(finding in each for each in found), found


def test_only_the_sentence_of_its_rule_may_hand_a_caller_over() -> None:
    fields = next(card for card in LIBRARY if card.slug == "copperfield-bank").model_dump(mode="json")
    fields["unknown_say"] = "I don't know, so I'm connecting you with our fraud team."
    assert "unknown_say: it would hand the caller over as" in str(lint_card(PersonaCard.model_validate(fields))[0])


def test_0_leads_to_a_human_unless_the_menu_says_otherwise() -> None:
    card = LIBRARY[0]
    key = card.key("0")
    assert key is not None
    assert (key.action, key.to, card.key("7")) == ("human", "", None)
    fields = card.model_dump(mode="json") | {"menu": [{"digit": "0", "action": "say", "say": "Nobody is here."}]}
    assert PersonaCard.model_validate(fields).key("0") != key


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("rules.0.transfer_phrases", ["let me connect you"], "only rules of kind escalate"),
        ("rules.3.transfer_to", "555", "transfer_to"),
        ("menu", [{"digit": "A", "action": "human"}], "digit"),
        ("menu", [{"digit": "5", "action": "say"}], "says nothing"),
        ("menu", [{"digit": "5", "action": "say", "say": "Hi.", "to": "+15550111"}], "calls nobody"),
        ("menu", [{"digit": "5", "action": "human"}, {"digit": "5", "action": "hang_up"}], "once"),
    ],
)
def test_keys_and_transfers_that_make_no_sense_are_refused(path: str, value: Any, problem: str) -> None:
    fields = LIBRARY[0].model_dump(mode="json")
    _with(path, value)(fields)
    with pytest.raises(ValueError, match=problem):
        PersonaCard.model_validate(fields)


def test_a_card_without_test_questions_is_fit_unless_they_are_asked_for() -> None:
    card = LIBRARY[0].model_copy(update={"test_questions": ()})
    assert lint_card(card, testable=False) == []
    assert len(lint_card(card)) == 7


def test_overlap_ignores_case_figures_and_punctuation() -> None:
    assert overlap("Is it $120?", "is it one hundred twenty dollars") == 1.0
    assert overlap("when do you open", "what does a cleaning cost") == 0.0


def test_cards_hold_plain_text_only() -> None:
    for card in LIBRARY:
        assert not re.search(r"[^\x20-\x7e]", card.model_dump_json())
