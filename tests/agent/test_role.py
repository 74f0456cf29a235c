"""What an engine is told of its role, and of a call that was cut off."""

from agent.role import MOST_HISTORY, role_for
from crm.call import KnownCaller, Turn
from tests.agent.exchange import card


def test_a_new_call_begins_with_the_cards_greeting() -> None:
    role = role_for(card(), KnownCaller("Ana Lee", "The caller is Ana Lee."))
    assert role.card.greeting == card().greeting
    assert role.text.endswith("About the caller: The caller is Ana Lee.")


def test_a_call_that_was_cut_off_goes_on_with_an_apology_and_what_was_said() -> None:
    history = [
        Turn("agent", 0, 900, "Hello, this is Ann of Acme."),
        Turn("caller", 1_000, 2_000, "what is the price"),
        Turn("agent", 1_500, 1_700, "mm-hmm", backchannel=True),
        Turn("caller", 2_500, 2_900, ""),
        Turn("agent", 3_000, 4_000, " It costs $5."),
    ]
    role = role_for(card(), None, history)
    assert role.card.greeting.startswith("I'm sorry, we were cut off. This is Ann from Acme")
    assert f"Greet the caller with: {role.card.greeting}" in role.text
    so_far = "You said: Hello, this is Ann of Acme. The caller said: what is the price. You said: It costs $5."
    assert role.text.endswith(f"Until then: {so_far}")


def test_of_a_long_call_the_end_is_told() -> None:
    history = [Turn("caller", n * 1_000, n * 1_000 + 900, f"sentence number {n} of many") for n in range(200)]
    told = role_for(card(), None, history).text.split("Until then: ")[1]
    assert len(told) <= MOST_HISTORY
    assert "number 199" in told
    assert "number 0 " not in told
