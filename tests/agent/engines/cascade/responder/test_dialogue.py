from dataclasses import replace

import pytest

from agent.duplex import CardRule
from agent.engines.cascade.ports import Transcript, Word


def heard(text: str) -> Transcript:
    return Transcript(tuple(Word(word, 0, 0, 0.9) for word in text.split()))


def topics(replies) -> list[str]:
    return [reply.topic for reply in replies]


@pytest.mark.parametrize(
    ("said", "topic"),
    [
        ("What would a tune-up cost me?", "tune_up_price"),
        ("hi um how much do you charge for a tune up please", "tune_up_price"),
        ("how many days does a tune up take", "tune_up_time"),
        ("when are you open on saturday", "saturday_hours"),
        ("who makes the electric bikes", "brand"),
        ("what street is the shop on", "street"),
        ("could I get a discount", "no_discount"),
        ("can I speak to a real person", "to_manager"),
        ("you are a bunch of idiots", "rude"),
        ("who won the football match yesterday", "off_topic"),
        ("tell me a joke", "off_topic"),
        ("do you rent out canoes", "unknown"),
        ("are you a robot", "identity"),
        ("hello", "greeting"),
        ("are you still there", "presence"),
        ("one moment please", "hold"),
        ("five five five one two three four", "numbers"),
        ("thank you very much", "thanks"),
    ],
)
async def test_an_utterance_gets_the_reply_it_asks_for(ask, said: str, topic: str) -> None:
    assert topics(await ask(said)) == [topic]


async def test_words_that_sound_alike_are_taken_for_the_cards_own(ask) -> None:
    assert topics(await ask("how much is a toon up")) == ["tune_up_price"]


async def test_another_reading_of_the_recogniser_can_hold_the_answer(ask) -> None:
    assert topics(await ask("bear or you", "where are you")) == ["street"]


async def test_two_questions_are_answered_in_their_order(ask) -> None:
    assert topics(await ask("where are you and how much is a tune up")) == ["street", "tune_up_price"]


async def test_written_questions_are_told_apart_by_their_marks(ask) -> None:
    assert topics(await ask("Are you open on Saturdays? What brand are your electric bikes?")) == [
        "saturday_hours",
        "brand",
    ]


async def test_a_follow_up_leans_on_the_last_topic(ask) -> None:
    await ask("how much is a tune up")
    assert topics(await ask("and how long does it take")) == ["tune_up_time"]


async def test_what_was_said_is_not_said_again_in_the_same_words(ask) -> None:
    [first] = await ask("how much is a tune up")
    [second] = await ask("what do you charge for a full service")
    assert first.topic == second.topic
    assert first.text == "A full tune-up costs $85."
    assert second.text == "As I said, a full tune-up costs $85."


async def test_unknown_things_are_not_refused_twice_in_the_same_words(ask, card) -> None:
    [first] = await ask("do you rent out canoes")
    [second] = await ask("do you sell helicopters")
    assert first.text == card.unknown_say
    assert second.text != first.text
    assert second.text.endswith(card.unknown_say)


async def test_asked_to_repeat_it_repeats_the_matter_only(ask) -> None:
    await ask("where are you")
    replies = await ask("sorry could you say that again")
    assert topics(replies) == ["repeat", "street"]
    assert [reply.text for reply in await ask("pardon")][1:] == ["The shop is at 40 Mill Lane."]


async def test_names_are_spelled_on_request(ask) -> None:
    await ask("what brand are your electric bikes")
    [reply] = await ask("how do you spell that")
    assert "V, E, L, O, R, I, A" in reply.text


async def test_the_callers_name_is_remembered(ask) -> None:
    [reply] = await ask("hi my name is tom baker")
    assert "Tom" in reply.text
    [thanks] = await ask("thank you")
    assert "Tom" in thanks.text


async def test_a_name_before_a_question_does_not_hide_the_question(ask) -> None:
    assert topics(await ask("this is tom speaking where are you")) == ["street"]


async def test_proof_is_asked_for_before_personal_matters(ask, card) -> None:
    assert topics(await ask("is my bike ready")) == ["ask_ticket"]
    replies = await ask("four seven one two")
    assert replies[-1].text == card.unknown_say


async def test_what_was_cut_off_counts_as_not_said(session, ask) -> None:
    [first] = await ask("how much is a tune up")
    session.was_cut_off("A full")
    [second] = await ask("how much is a tune up")
    assert second.text == first.text


async def test_what_was_nearly_heard_counts_as_said(session, ask) -> None:
    await ask("how much is a tune up")
    session.was_cut_off("A full tune-up costs eighty five")
    [second] = await ask("how much is a tune up")
    assert second.text.startswith("As I said")


async def test_a_turn_nobody_heard_leaves_no_trace(session, ask) -> None:
    await ask("hi my name is tom baker")
    session.was_cut_off("")
    [thanks] = await ask("thank you")
    assert "Tom" not in thanks.text


async def test_goodbye_closes_and_ends_the_call(ask, card) -> None:
    [reply] = await ask("okay thanks bye bye")
    assert reply.ends_call
    assert reply.text == card.closing_say


async def test_no_more_questions_ends_the_call_only_after_being_asked(ask) -> None:
    [early] = await ask("no")
    assert not early.ends_call
    await ask("thank you")
    [late] = await ask("no that's all")
    assert late.ends_call


async def test_nothing_understood_is_asked_again_in_other_words_then_handed_over(ask) -> None:
    texts = [reply.text for _ in range(3) for reply in await ask("")]
    assert len(set(texts)) == 3
    assert "manager" in texts[2]


async def test_doubtful_words_that_fit_nothing_are_asked_again_once(ask) -> None:
    assert topics(await ask("rent out canoes", confidence=0.1)) == ["unclear"]
    assert topics(await ask("rent out canoes", confidence=0.1)) == ["unknown"]


@pytest.mark.parametrize("noise", ["mm-hmm", "um", "uh huh"])
async def test_mere_noises_get_no_answer(ask, noise: str) -> None:
    assert await ask(noise) == []


async def test_opening_greets_a_known_customer_by_name(responder, card) -> None:
    session = await responder.open(replace(card, customer_name="Ann Lee"))
    assert session.opening().text == "Hello Ann, this is Ruth at Bellwether Cycles. How can I help you?"


async def test_a_required_step_is_said_once(responder, card) -> None:
    step = CardRule("recorded", "step", "Say that calls are recorded.", "By the way, this call is recorded.")
    session = await responder.open(replace(card, rules=(step,)))
    said = []
    for text in ("where are you", "how much is a tune up"):
        said += [reply.topic async for reply in session.reply(heard(text))]
    assert said == ["street", "recorded", "tune_up_price"]


async def test_calls_share_a_card_and_keep_their_memories_apart(responder, card, ask) -> None:
    other = await responder.open(replace(card, customer_name="Ann Lee"))
    await ask("how much is a tune up")
    assert [reply.text async for reply in other.reply(heard("how much is service"))] == ["A full tune-up costs $85."]
