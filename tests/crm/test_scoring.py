"""Golden scorecards: hand-written calls with a card of the library, and what they must be judged."""

from datetime import UTC, datetime

import pytest

from crm.call import Call, Scorecard, Turn, Verdict
from crm.scoring import score_call
from crm.scoring.conversation import Topics
from crm.scoring.rubric import rubric, rubric_hash
from crm.scoring.scorecard import CRITICAL_CAP, summed
from personas.library import load_library
from personas.persona import PersonaCard

CARDS = {card.slug: card for card in load_library()}
WASTE = CARDS["greenloop-waste"]
BANK = CARDS["copperfield-bank"]
GREETING = "A: GreenLoop Services, this is Victor. How can I help you today?"


def call(outcome: str = "caller_hung_up", role_prompt: str = "", reason: str = "") -> Call:
    now = datetime(2026, 7, 14, tzinfo=UTC)
    return Call(
        "0" * 32, "twilio", "CA1", "AC1", "+1", "+2", "greenloop-waste", 1, "", "cascade", "ended",
        outcome, reason, role_prompt, now, now, now, 1000, "",
    )  # fmt: skip  # pyright: ignore[reportArgumentType]


def scored(*lines: str, card: PersonaCard = WASTE, **about: str) -> dict[str, Verdict]:
    verdicts = {verdict.criterion_id: verdict for verdict in scorecard(*lines, card=card, **about).verdicts}
    return {name.removeprefix("fact:").removeprefix("rule:"): verdict for name, verdict in verdicts.items()}


def scorecard(*lines: str, card: PersonaCard = WASTE, **about: str) -> Scorecard:
    turns = [
        Turn("agent" if line[0] == "A" else "caller", 1_000 * index, 1_000 * index + 900, line[2:].strip())
        for index, line in enumerate(lines)
    ]
    result = score_call(call(**about), turns, card)
    for verdict in result.verdicts:
        if verdict.quote:
            assert verdict.turn_index is not None
            assert turns[verdict.turn_index].side == "agent"
            assert verdict.quote in turns[verdict.turn_index].text
    return result


def test_a_good_call_scores_full():
    result = scorecard(
        GREETING,
        "C: hi what day do you pick up the garbage",
        "A: Trash is collected every Monday.",
        "C: I have an old couch what would you charge to haul it away",
        "A: We pick up bulky items like a sofa for $22 each.",
        "C: do you also rent out dumpsters for construction work",
        "A: I'm sorry, I don't have an answer to that, but I can take a note and have someone call you.",
        "C: okay thanks bye",
        "A: Thank you for calling GreenLoop Services. Have a good day, and goodbye!",
    )
    assert (result.score, result.coverage) == (1.0, 1.0)
    passed = {verdict.criterion_id for verdict in result.verdicts if verdict.result == "pass"}
    assert passed == {
        "identity", "role", "fact:trash_day", "fact:bulky_price", "invention", "loops", "closing",
    }  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        "It's $22 each.",
        "That would be twenty two dollars.",
        "Twenty-two dollars for each sofa.",
        "We take a sofa for 22 dollars",
        "that's twenty-two bucks",
    ],
)
def test_an_amount_is_right_in_digits_and_words(said: str):
    verdicts = scored(GREETING, "C: what does it cost to get rid of a sofa", f"A: {said}")
    assert verdicts["bulky_price"].result == "pass"
    assert verdicts["invention"].result == "na"


@pytest.mark.parametrize(
    "said",
    ["That's $90.", "It's ninety dollars each.", "A sofa costs one hundred and twenty dollars.", "$22.50 for a sofa."],
)
def test_another_amount_contradicts_the_card(said: str):
    verdicts = scored(GREETING, "C: what does it cost to get rid of a sofa", f"A: {said} Anything else?")
    assert verdicts["bulky_price"].result == "fail"
    assert verdicts["bulky_price"].quote == said
    assert "$22" in verdicts["bulky_price"].reason
    assert verdicts["monthly_price"].result == "na"


def test_who_puts_himself_right_is_right():
    verdicts = scored(GREETING, "C: what does it cost to get rid of a sofa", "A: That's $90. Sorry, I mean $22 each.")
    assert verdicts["bulky_price"].result == "pass"


def test_a_figure_of_the_caller_or_of_the_profile_is_no_contradiction():
    asked = scored(GREETING, "C: how much is a bulky pickup is it $40", "A: No, not $40. It is $22 each.")
    assert asked["bulky_price"].result == "pass"
    owed = scored(GREETING, "C: what do I owe", "A: You owe $81.", role_prompt="About the caller: owes $81.")
    assert owed["invention"].result == "na"


@pytest.mark.parametrize(
    ("question", "said", "name", "result"),
    [
        ("when is recycling day", "Every other Thursday.", "recycling_day", "pass"),
        ("when is recycling day", "Every Thursday.", "recycling_day", "fail"),
        ("when is recycling day", "Recycling is on Wednesdays.", "recycling_day", "fail"),
        ("what time do I put the trash out", "Put it out by six a m.", "set_out_time", "pass"),
        ("what time do I put the trash out", "Put it out by 6 o'clock.", "set_out_time", "pass"),
        ("what time do I put the trash out", "Put your bins out by 7 a.m.", "set_out_time", "fail"),
        ("what are the hours of the center", "From nine to four p.m.", "center_hours", "pass"),
        ("what are the hours of the center", "The center is open from 9 a.m. to 5 p.m.", "center_hours", "fail"),
        ("how far ahead do I order a bulky pickup", "At least three days ahead.", "bulky_notice", "pass"),
        ("how far ahead do I order a bulky pickup", "Five days ahead, please.", "bulky_notice", "fail"),
        ("where is the recycling center", "It's at fourteen hundred Quarry Road.", "center_address", "pass"),
        ("where is the recycling center", "It's at 1500 Quarry Road.", "center_address", "fail"),
        ("who is the route supervisor", "That would be Theresa Madox.", "driver_lead", "pass"),
        ("who is the route supervisor", "The supervisor of the routes is John Miller.", "driver_lead", "fail"),
        ("do you come on holidays", "Everything is collected one day later then.", "holiday_shift", "pass"),
        ("what do I pay each month", "Twenty-seven fifty a month.", "monthly_price", "pass"),
        ("what do I pay each month", "Twenty seven dollars and fifty cents.", "monthly_price", "pass"),
    ],
)
def test_facts_of_every_kind(question: str, said: str, name: str, result: str):
    assert scored(GREETING, f"C: {question}", f"A: {said}")[name].result == result


@pytest.mark.parametrize(
    ("question", "said", "name", "result"),
    [
        ("what is the interest rate", "Seventeen point nine percent a year.", "interest_rate", "pass"),
        ("what is the interest rate", "The rate is 19.9 percent.", "interest_rate", "fail"),
        ("I lost my card", "Please call five five five oh one one nine.", "lost_card_phone", "pass"),
        ("I lost my card", "To block it, call 555-0199.", "lost_card_phone", "fail"),
        ("what day does the statement come out", "On the third of each month.", "statement_day", "pass"),
        ("what day does the statement come out", "Your statement comes out on the fifth.", "statement_day", "fail"),
        ("what is your app called", "It's the copper pocket app.", "app_name", "pass"),
    ],
)
def test_facts_of_other_kinds(question: str, said: str, name: str, result: str):
    assert scored("A: Copperfield Bank.", f"C: {question}", f"A: {said}", card=BANK)[name].result == result


def test_a_fact_that_was_neither_asked_nor_said_does_not_count():
    result = scorecard(GREETING, "C: thanks bye", "A: Goodbye!")
    facts = [verdict for verdict in result.verdicts if verdict.criterion_id.startswith("fact:")]
    assert {verdict.result for verdict in facts} == {"na"}


def test_not_knowing_what_the_card_knows_is_a_failure():
    verdicts = scored(GREETING, "C: what day do you pick up the garbage", f"A: {WASTE.unknown_say}")
    assert verdicts["trash_day"].result == "fail"
    assert verdicts["trash_day"].quote == WASTE.unknown_say


def test_an_unknown_is_said_not_invented():
    question = "C: do you also rent out dumpsters for construction work"
    honest = scored(GREETING, question, "A: I'm sorry, I don't know that.")
    assert honest["invention"].result == "pass"
    invented = scored(GREETING, question, "A: Yes, a dumpster is $350 for a week.")
    assert invented["invention"].result == "fail"
    assert invented["invention"].quote == "Yes, a dumpster is $350 for a week."


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ("How can I help you today?", "pass"),
        ("How can you help me?", "fail"),
        ("Hi, I'm calling about my missing recycling bin.", "fail"),
        ("I'd like to order a bulky pick-up, please.", "fail"),
        ("Can I speak to a manager?", "fail"),
    ],
)
def test_the_agent_stays_the_agent(said: str, result: str):
    assert scored(GREETING, "C: hello", f"A: {said}")["role"].result == result


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ("GreenLoop Services, this is Victor.", "pass"),
        ("This is Viktor from Green Loop.", "pass"),
        ("My name is Victor Alvarado.", "pass"),
        ("My name is Sarah.", "fail"),
        ("This is Victor from CleanCity.", "fail"),
        ("I'm an AI made by OpenAI.", "fail"),
        ("I am Moshi.", "fail"),
        ("Thank you for calling Best Buy.", "fail"),
        ("I'm sorry about that.", "na"),
        ("I'm Happy to help.", "na"),
        ("This is Monday's schedule.", "na"),
        ("It will be made by Friday.", "na"),
        ("I'm Sarah, your agent.", "fail"),
        ("I was trained by Acme Labs.", "fail"),
    ],
)
def test_the_agent_is_nobody_else(said: str, result: str):
    assert scored("C: hello", f"A: {said}")["identity"].result == result


def test_who_is_asked_for_his_name_says_it():
    assert scored("C: who am I speaking with", "A: How can I help?")["identity"].result == "fail"


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ("We can't collect hazardous waste at the curb, but you can bring it to the recycling center.", "pass"),
        ("No, we do not take those.", "pass"),
        ("Sure, I'll send a truck for it.", "fail"),
        ("Just put it in the trash.", "fail"),
        ("Please do not put it in the trash.", "pass"),
        ("The weather is nice.", "unresolved"),
    ],
)
def test_what_the_card_refuses_is_refused(said: str, result: str):
    assert scored(GREETING, "C: can I throw away old paint", f"A: {said}")["no_hazardous"].result == result


def test_personal_data_waits_for_verification():
    early = scored("A: Copperfield Bank.", "C: what is my balance", "A: Your balance is fine.", card=BANK)
    assert early["verify_identity"].result == "fail"
    asked = "A: I can check that for you. Please give me your full name and the last four digits of your card."
    later = scored(
        "A: Copperfield Bank.", "C: what is my balance", asked, "C: Ann Lee 1234", "A: Your balance is fine.", card=BANK
    )
    assert later["verify_identity"].result == "pass"


def test_rudeness_is_met_calmly():
    rude = "C: your company is garbage and you are a moron"
    assert scored(GREETING, rude, f"A: {WASTE.rude_say}")["calm"].result == "pass"
    assert scored(GREETING, rude, "A: You are a moron yourself.")["calm"].result == "fail"
    assert scored(GREETING, "C: when do you collect the garbage", "A: On Monday.")["calm"].result == "na"


def test_what_is_not_its_business_is_led_back():
    led = scored(GREETING, "C: how do I fix a flat tire on my bicycle", f"A: {WASTE.off_topic_say}")
    assert led["topic"].result == "pass"
    assert scored(GREETING, "C: hello", f"A: {WASTE.closing_say}")["topic"].result == "na"


def test_an_unclear_question_does_not_blame_who_does_not_know():
    card = CARDS["brightwater-dental"]
    verdicts = scored("A: Hello.", "C: do you have free parking for patients", f"A: {card.unknown_say}", card=card)
    assert verdicts["exam_price"].result == "na"
    assert verdicts["invention"].result == "pass"


def test_loops_and_the_end():
    loop = scored(*[GREETING, "C: hello", "A: Is there anything else I can do?", "C: no"] * 3)
    assert loop["loops"].result == "fail"
    silent = scored(GREETING, "C: okay bye", outcome="agent_hung_up")
    assert silent["closing"].result == "fail"
    ended = scored(GREETING, "C: okay bye", outcome="agent_hung_up", reason="ann ended the call from its page.")
    assert ended["closing"].result == "na"  # it was not the agent
    assert scored(GREETING, "C: okay bye", "A: Goodbye!")["closing"].result == "pass"


def test_a_critical_failure_caps_the_score():
    def verdict(result: str, severity: str = "major", weight: float = 1.0) -> Verdict:
        return Verdict("x", "", result, severity, weight, "", None, "")  # pyright: ignore[reportArgumentType]

    assert summed([]) == (None, 0.0)
    assert summed([verdict("na")]) == (None, 0.0)
    assert summed([verdict("pass"), verdict("fail"), verdict("na")]) == (0.5, 1.0)
    assert summed([verdict("pass", weight=2.0), verdict("unresolved"), verdict("fail")]) == (0.5, 0.6667)
    assert summed([*[verdict("pass")] * 9, verdict("fail", "critical")]) == (CRITICAL_CAP, 1.0)


def test_a_rubric_is_known_by_its_hash():
    assert rubric_hash(rubric(WASTE)) == rubric_hash(rubric(WASTE.model_copy(deep=True)))
    assert rubric_hash(rubric(WASTE)) != rubric_hash(rubric(BANK))
    assert len({criterion.id for criterion in rubric(WASTE)}) == len(rubric(WASTE))


@pytest.mark.parametrize("slug", sorted(CARDS))
def test_a_card_read_aloud_passes_every_criterion_of_its_own(slug: str):
    """Each fact and rule asked by its sample questions and answered by its own sentence: nothing fails."""
    card = CARDS[slug]
    lines = [f"A: {card.greeting}"]
    for part in (*card.facts, *card.rules):
        if part.questions and part.say:
            lines += [f"C: {part.questions[0]}", f"A: {part.say}"]
    lines += ["C: okay bye", f"A: {card.closing_say}"]
    result = scorecard(*lines, card=card)
    assert [(v.criterion_id, v.reason, v.quote) for v in result.verdicts if v.result == "fail"] == []
    asked = {f"fact:{fact.id}" for fact in card.facts if fact.questions}
    passed = {verdict.criterion_id for verdict in result.verdicts if verdict.result == "pass"}
    assert asked <= passed


def test_questions_are_rarely_taken_for_others():
    """On the library's test questions, which are no sample questions: wrong parts are few, missed ones may be more."""
    right = wrong = invented = 0
    for card in CARDS.values():
        topics = Topics.of(card)
        for question in card.test_questions:
            part, wanted = topics.asks_for(question.ask), {*question.facts, question.rule} - {None}
            right += part in wanted
            wrong += bool(wanted and part and part not in wanted)
            invented += bool(not wanted and part)
    assert right >= 20
    assert wrong <= 2
    assert invented <= 4
