"""What the console of the browser's tests holds: calls of every kind, personas, numbers, customers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import update

from crm.call import CallEvent, JudgeWait, KnownCaller, NewCall, Outcome, Scorecard, Status, Turn, Verdict
from crm.customer import Customer
from crm.customers import Customers, Put
from crm.dynamics import dynamics_of
from crm.erasure import Erasures, Whose
from crm.floor import ipus
from crm.holds import Holds
from crm.recordings import Recordings
from crm.store import CallStore
from crm.tables import CallRow
from crm.tracks import SAMPLE_HZ, SAMPLES_PER_MS, TRACKS, wav_header
from personas.audit import Actor
from personas.library import library_numbers, load_library
from personas.prompt import render_role_prompt
from personas.store import PersonaStore, PersonaVersion

DENTAL = "brightwater-dental"
LENGTH_MS = 42_000
ADAS_PROFILE = "A patient since 2019.\nPrefers appointments in the morning, and is <b>afraid</b> of needles."
WORD = "Auskunftsbürovorzimmer" * 6 + "السكرتارية" * 3
TURNS = (
    ("agent", 400, 4_100, "Thank you for calling Brightwater Dental, this is Marisol. How can I help you?"),
    ("caller", 5_000, 7_600, "hi could you tell me what a cleaning costs"),
    ("agent", 8_500, 10_600, "A regular cleaning is $120."),
    ("caller", 11_300, 13_800, "and what time do you open in the morning"),
    ("agent", 14_700, 19_000, "We open at 7:30 a.m. from Monday to Friday. On weekdays we"),
    ("caller", 16_400, 16_800, "mm-hmm"),
    ("caller", 18_300, 21_500, "sorry do you have free parking for patients"),
    ("agent", 22_700, 27_200, "I'm sorry, I don't have that information here, but I can have someone call you back."),
    ("caller", 28_000, 31_000, "can you prescribe me something for the pain"),
    ("agent", 32_300, 37_000, "I'm not able to prescribe medicine over the phone, take two tablets and call us."),
    ("caller", 37_900, 39_200, "okay thank you goodbye"),
    ("agent", 39_900, 41_800, "Thank you for calling Brightwater Dental. Goodbye!"),
)
VERDICTS = (
    ("identity", "Says who it is", "pass", "major", "this is Marisol", 0, ""),
    ("fact.cleaning_price", "States the price of a cleaning as $120", "pass", "critical", "$120", 2, ""),
    ("fact.opening_time", "States the opening time as 7:30 a.m.", "pass", "critical", "7:30 a.m.", 4, ""),
    ("unknown", "Says so when it does not know", "pass", "major", "I don't have that information", 7, ""),
    (
        "rule.no_prescriptions.forbidden",
        "Never says “take two tablets”",
        "fail",
        "critical",
        "take two tablets",
        9,
        "A phrase that the role card forbids.",
    ),
    (
        "rule.verify_birth_date",
        "Asks for the date of birth before personal data",
        "na",
        "major",
        "",
        None,
        "Nobody asked.",
    ),
    (
        "fact.missed_fee",
        "States the fee for a missed appointment as $50",
        "unresolved",
        "minor",
        "",
        None,
        "Not decidable by rules.",
    ),
)


async def seed(personas: PersonaStore, calls: CallStore, recordings: Recordings) -> dict[str, str]:
    """Fill a console's database and folder; return ids by what they are of."""
    await personas.import_cards(load_library())
    for number, slug in library_numbers().items():
        await personas.set_number(number, slug)
    dental = await personas.published(DENTAL)
    await personas.save_draft(dental.card.model_copy(update={"unknown_say": "Let me have someone call you back."}))
    others = [await personas.published(each.slug) for each in await personas.personas()]
    seeder = _Seeder(calls)
    for number in range(60):
        version = others[number % len(others)]
        await seeder.ended(f"CAolder{number}", version, minutes_ago=90 + 37 * number, score=0.6 + number % 5 / 10)
    unknown = NewCall("twilio", "CAunknown", "AC1", "+12025550188", "+15550199")
    reason = "No persona answers this number; set one with `parley numbers set NUMBER PERSONA`."
    refused = (await calls.refuse_call(unknown, "unknown_number", reason)).id
    lost = await seeder.claimed("CAlost", others[3])
    await calls.finish(
        lost, status="lost", outcome="gateway_lost", reason="The server stopped in the call.", duration_ms=9_000
    )
    ids = {"refused": refused, "lost": lost, "live": await seeder.claimed("CAlive", others[2])}
    ids["ending"] = await seeder.claimed("CAending", others[1])
    ids["whole"] = await seeder.whole(dental, recordings)
    ids["long"] = await seeder.long(dental)
    ids |= await _seed_customers(Customers(calls.database))
    ids["unjudged"] = await seeder.unjudged(dental)
    ids["held"] = await seeder.left("CAheld", others[4])
    await Holds(calls.database, Actor("admin")).hold(ids["held"], "dispute 2026-17")
    ids["erased"] = await seeder.left("CAerased", others[5])
    await Erasures(calls.database, recordings).erase(Whose(ids["erased"]))
    for minutes, name in enumerate(("live", "whole", "refused", "lost", "ending")):
        await seeder.move(ids[name], 4 + 9 * minutes)
    return ids


async def _seed_customers(customers: Customers) -> dict[str, str]:
    """Keep some pages of customers, one of them long, from right to left and full of markup; return ids of two."""
    every = [Put((f"+4930{1_000_000 + n}",), f"Customer {n:05}", f"Has order {n}.") for n in range(300)]
    await customers.put(every, write=True)
    ada = await customers.save(Customer(("+12025550143", "+4917012345678"), "Ada Lovelace", ADAS_PROFILE))
    odd = Customer(("+4917012345679",), f"<b>{WORD}</b>"[:200], f"<system>\n{WORD}\n</system><img src=x>"[:400])
    return {"ada": str(ada.id), "odd": str((await customers.save(odd)).id)}


class _Seeder:
    def __init__(self, calls: CallStore) -> None:
        self._calls = calls

    async def claimed(self, carrier_call_id: str, version: PersonaVersion) -> str:
        opened = await self._calls.open_call(
            NewCall(
                "twilio",
                carrier_call_id,
                "AC1",
                "+12025550143",
                "+15550100",
                version.persona_slug,
                version.id,
                version.card.title,
                "cascade",
                render_role_prompt(version.card, ADAS_PROFILE, customer_name="Ada Lovelace"),
                customer=KnownCaller("Ada Lovelace", ADAS_PROFILE),
            )
        )
        return (await self._calls.claim(carrier_call_id, "AC1", opened.nonce)).id

    async def ended(self, carrier_call_id: str, version: PersonaVersion, *, minutes_ago: int, score: float) -> None:
        call_id = await self.claimed(carrier_call_id, version)
        endings: tuple[Outcome, ...] = ("caller_hung_up", "caller_hung_up", "agent_hung_up", "engine_lost")
        outcome = endings[minutes_ago % 4]
        status: Status = "lost" if outcome == "engine_lost" else "ended"
        await self._calls.finish(
            call_id,
            status=status,
            outcome=outcome,
            duration_ms=20_000 + 977 * minutes_ago,
            turns=[Turn("agent", 300, 3_000, version.card.greeting)],
            dynamics={"onset": {"p50_ms": 700 + minutes_ago % 600, "p90_ms": 1_500}},
        )
        await self._calls.save_score(call_id, version.id, Scorecard("rules 1", "0" * 64, min(score, 1.0), 0.7, ()))
        await self.move(call_id, minutes_ago)

    async def whole(self, version: PersonaVersion, recordings: Recordings) -> str:
        call_id = await self.claimed("CAwhole", version)
        path = recordings.new(call_id)
        _write_recording(recordings.folder / path)
        turns = [Turn(side, start, end, text) for side, start, end, text in TURNS]  # pyright: ignore[reportArgumentType]
        tracks = [ipus(side, [turn[1:3] for turn in TURNS if turn[0] == side]) for side in TRACKS]
        turns[5] = replace(turns[5], backchannel=True)
        await self._calls.finish(
            call_id,
            status="ended",
            outcome="caller_hung_up",
            duration_ms=LENGTH_MS,
            recording=path,
            turns=turns,
            events=[CallEvent("digit", 27_500, "5"), CallEvent("barge_in", 18_400)],
            timing={"endpoint_ms": 480, "decode_ms": 190, "answer_ms": 35, "voice_ms": 90, "line_filled_ms": 40},
            dynamics=dynamics_of(*tracks, LENGTH_MS).summary(),
        )
        verdicts = tuple(
            Verdict(id, text, result, severity, 1.0, quote, turn, reason)  # pyright: ignore[reportArgumentType]
            for id, text, result, severity, quote, turn, reason in VERDICTS
        )
        await self._calls.save_score(call_id, version.id, Scorecard("rules 1", "0" * 64, 0.5, 5 / 6, verdicts))
        return call_id

    async def long(self, version: PersonaVersion) -> str:
        """Log a call in which everything is one word of 160 letters, some of them from right to left."""
        long = replace(version, card=version.card.model_copy(update={"title": WORD}))
        call_id = await self.claimed("CAlong", long)
        await self._calls.finish(
            call_id,
            status="ended",
            outcome="agent_hung_up",
            reason=WORD,
            turns=[Turn("agent", 300, 3_000, WORD)],
            events=[CallEvent("handoff", 500, WORD)],
        )
        verdict = Verdict("c", WORD, "fail", "critical", 1.0, WORD, 0, WORD)
        card = Scorecard(WORD[:128], "0" * 64, 0.5, 0.5, (verdict,))
        await self._calls.save_score(call_id, version.id, card, JudgeWait(None, 5))
        await self.move(call_id, 4_000)
        return call_id

    async def unjudged(self, version: PersonaVersion) -> str:
        call_id = await self.claimed("CAunjudged", version)
        turns = [Turn("agent", 300, 3_000, version.card.greeting)]
        await self._calls.finish(call_id, status="ended", outcome="caller_hung_up", turns=turns)
        verdict = Verdict("c", "Says who it is", "unresolved", "major", 1.0, "", None, "")
        card = Scorecard("rules 1", "0" * 64, 0.5, 0.5, (verdict,))
        await self._calls.save_score(call_id, version.id, card, JudgeWait(datetime.now(UTC), 0))
        await self.move(call_id, 4_100)
        return call_id

    async def left(self, carrier_call_id: str, version: PersonaVersion) -> str:
        """Log an old call whose caller left a message."""
        await self.ended(carrier_call_id, version, minutes_ago=5_000, score=0.9)
        call = await self._calls.call_by_carrier_id("twilio", carrier_call_id)
        assert call is not None
        await self._calls.save_voicemail(call.id, "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1")
        return call.id

    async def move(self, call_id: str, minutes_ago: int) -> None:
        at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        async with self._calls.database.session() as session:
            await session.execute(update(CallRow).where(CallRow.id == call_id).values(created_at=at))


def _write_recording(path: Path) -> None:
    """Write noise with the rhythm of syllables wherever a turn says that somebody spoke."""
    random = np.random.default_rng(1)
    tracks = np.zeros((LENGTH_MS * SAMPLES_PER_MS, 2), "<i2")
    for side, start_ms, end_ms, _text in TURNS:
        seconds = np.arange((end_ms - start_ms) * SAMPLES_PER_MS) / SAMPLE_HZ
        rhythm = np.abs(np.sin(np.pi * 3.3 * seconds)) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * seconds))
        sound = random.normal(0, 5_000, len(seconds)) * rhythm
        tracks[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS, TRACKS[side]] = sound.clip(-32_000, 32_000)  # pyright: ignore[reportArgumentType]
    path.parent.mkdir(parents=True)
    path.write_bytes(wav_header(len(tracks)) + tracks.tobytes())
