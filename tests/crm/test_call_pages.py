"""What the pages make of a call: marks on turns, quotes, figures, the recording in ranges."""

import csv
import io
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request

from crm.admin import pages
from crm.admin.conversation import Piece, grouped, shown_turns
from crm.admin.filters import CHUNK, ChosenCalls
from crm.admin.words import delay_parts, figures, in_words, masked, onsets
from crm.call import NewCall, Severity, Turn, Verdict, VerdictResult
from crm.dynamics import dynamics_of
from crm.floor import ipus
from crm.recordings import Recordings
from crm.store import CallStore
from crm.tracks import TrackWriter
from personas.accounts import User
from personas.admin.session import signed_in
from personas.audit import AuditLog
from personas.roles import Role
from personas.store import PersonaStore

BERLIN = ZoneInfo("Europe/Berlin")


def verdict(
    result: VerdictResult, quote: str = "", turn: int | None = None, severity: Severity = "major", id: str = "c"
) -> Verdict:
    return Verdict(id, "Says so", result, severity, 1.0, quote, turn, "")


def test_turns_say_who_waited_interrupted_and_listened() -> None:
    turns = [
        Turn("agent", 0, 2_000, "hello"),
        Turn("caller", 2_500, 4_000, "how much is it"),
        Turn("agent", 4_900, 9_000, "it is"),
        Turn("caller", 6_000, 6_400, "mm-hmm", backchannel=True),
        Turn("caller", 8_400, 10_000, "wait"),
        Turn("agent", 9_900, 12_000, "yes"),
        Turn("caller", 10_500, 11_000, "so"),
    ]
    shown = shown_turns(turns, [])
    assert [each.mark for each in shown] == ["", "", "", "backchannel", "interrupts", "interrupts", "overlaps"]
    assert [each.is_cut_off for each in shown] == [False, False, True, False, True, False, False]
    assert [each.response_ms for each in shown] == [None, None, 900, None, None, None, None]
    assert [each.index for each in shown] == list(range(7))


def test_quotes_are_marked_where_they_stand() -> None:
    turns = [Turn("agent", 0, 2_000, "A cleaning is $120 and <b>takes</b> 45 minutes.")]
    verdicts = [
        verdict("fail", "45 minutes", 0),
        verdict("pass", "cleaning is $120", 0),
        verdict("pass", "$120 and", 0),
        verdict("fail", "not in the text", 0),
        verdict("pass", "$120", None),
    ]
    (shown,) = shown_turns(turns, verdicts)
    assert shown.pieces == (
        Piece("A "),
        Piece("cleaning is $120", "pass"),
        Piece(" and <b>takes</b> "),
        Piece("45 minutes", "fail"),
        Piece("."),
    )


def test_verdicts_begin_with_the_severest_failure() -> None:
    verdicts = [
        verdict("pass"),
        verdict("fail", severity="minor", id="b"),
        verdict("na"),
        verdict("fail", severity="critical", id="a"),
    ]
    groups = grouped(verdicts)
    assert [result for result, _title, _icon, _verdicts in groups] == ["fail", "pass", "na"]
    assert [each.criterion_id for each in groups[0][3]] == ["a", "b"]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+12025550143", "+1 ••• 143"),
        ("2025550143", "••• 143"),
        ("+86", "+•••"),
        ("anonymous", "a•••"),
        ("", "unknown"),
    ],
)
def test_numbers_are_masked(number: str, shown: str) -> None:
    assert masked(number) == shown


def test_figures_come_from_the_log() -> None:
    caller = ipus("caller", [(0, 1_000), (4_000, 6_000)])
    agent = ipus("agent", [(1_800, 4_300), (6_400, 8_000)])
    measured = dynamics_of(caller, agent, 8_000).summary()
    assert onsets(measured) == [("Answers after, median", 600.0), ("9 of 10 within", 760.0)]
    assert ("Stopped when interrupted, median of 1", "300 ms") in figures(measured, {})
    assert onsets({}) == []
    assert figures({}, {"line_filled_ms": 40, "other_ms": 1_500, "endpoint_ms": 3}) == [
        ("Gaps on the line, filled", "40 ms"),
        ("Other", "1.5 s"),
    ]
    parts = delay_parts({"voice_ms": 100, "endpoint_ms": 300, "line_filled_ms": 40})
    assert [(part.ms, part.left, part.width) for part in parts] == [(300, 0, 75), (100, 75, 25)]


def ann(request: Request) -> User:
    request.state.user = User(7, "ann", "", Role.ANALYST)
    return request.state.user


async def noted(store: CallStore) -> list[tuple[str, str, str]]:
    """Who did what on which call, oldest first."""
    entries = (await AuditLog(store.database).entries()).entries
    return [(each.actor.name, each.action, each.subject.id) for each in reversed(entries)]


@pytest.fixture
async def client(store: CallStore, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.state.time_zone = BERLIN
    router = pages.section(store, PersonaStore(store.database), Recordings(tmp_path)).router
    app.include_router(router, dependencies=[Depends(signed_in)])
    app.dependency_overrides[signed_in] = ann
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_recording_is_given_in_ranges(
    client: httpx.AsyncClient, store: CallStore, new_call: Callable[..., NewCall], tmp_path: Path
) -> None:
    opened = await store.open_call(new_call())
    call_id = opened.call.id
    recording = Recordings(tmp_path).new(call_id)
    (tmp_path / recording).parent.mkdir(parents=True)
    writer = TrackWriter(tmp_path / recording)
    writer.place("agent", 0, np.full(8_000, 16_384, np.int16))
    writer.close(8_000)
    assert (await client.get(f"/calls/{call_id}/recording")).status_code == 404
    await store.finish(call_id, status="ended", outcome="caller_hung_up", duration_ms=1_000, recording=recording)

    whole = await client.get(f"/calls/{call_id}/recording")
    assert (whole.status_code, whole.headers["Content-Type"], len(whole.content)) == (200, "audio/wav", 32_044)
    part = await client.get(f"/calls/{call_id}/recording", headers={"Range": "bytes=1000-1999"})
    assert part.status_code == 206
    assert part.headers["Content-Range"] == "bytes 1000-1999/32044"
    assert part.content == whole.content[1_000:2_000]
    assert (await client.get(f"/calls/{call_id}/recording", headers={"Range": "bytes=99999-"})).status_code == 416
    saved = await client.get(f"/calls/{call_id}/recording?download=true")
    assert saved.headers["Content-Disposition"].startswith('attachment; filename="call-')
    played, downloaded = ("ann", "recording_played", call_id), ("ann", "recording_downloaded", call_id)
    assert await noted(store) == [played, downloaded]  # pieces of one hour are one entry
    peaks = (await client.get(f"/calls/{call_id}/peaks")).json()
    assert max(peaks["agent"]) == pytest.approx(0.5, abs=0.01)
    assert max(peaks["caller"]) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_page_in_progress_is_told_when_to_load_again(
    client: httpx.AsyncClient, store: CallStore, new_call: Callable[..., NewCall]
) -> None:
    call = (await store.open_call(new_call())).call
    assert in_words(call) == "Ringing"
    assert "HX-Refresh" not in (await client.get(f"/calls/{call.id}/status?seen=ringing")).headers
    await store.finish(call.id, status="lost", outcome="gateway_lost")
    assert (await client.get(f"/calls/{call.id}/status?seen=ringing")).headers["HX-Refresh"] == "true"
    assert in_words(await store.call(call.id)) == "The server died in the call"
    ended = (await store.open_call(new_call("CA2"))).call
    reason = "ann ended the call from its page."
    await store.finish(ended.id, status="ended", outcome="agent_hung_up", reason=reason)
    assert in_words(await store.call(ended.id)) == "ann ended the call from its page"
    for cursor in ("x", "0001-01-01T00:00:00+14:00_x"):
        assert (await client.get("/calls", params={"cursor": cursor})).status_code == 400
    for path in ("/calls/nothing/status", "/calls/nothing/recording", "/calls/nothing/peaks", "/calls/nothing"):
        assert (await client.get(path)).status_code == 404


def test_a_chosen_day_is_one_of_the_consoles_zone() -> None:
    where = ChosenCalls(since="2026-03-29", until="2026-03-29", zone=BERLIN).where()
    assert where.since == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert where.until == datetime(2026, 3, 29, 22, tzinfo=UTC)  # a day of 23 hours
    for day in ("yesterday", "2026-02-30", "0001-01-01", "9999-12-31"):
        with pytest.raises(HTTPException, match="400"):
            ChosenCalls(since=day, until=day, zone=ZoneInfo("Asia/Tokyo")).where()
    assert not ChosenCalls(zone=BERLIN).is_any
    assert ChosenCalls(zone=BERLIN, until="2026-01-01").query() == {"until": "2026-01-01"}


async def test_the_chosen_calls_are_given_as_a_file(
    client: httpx.AsyncClient, store: CallStore, new_call: Callable[..., NewCall]
) -> None:
    for number in range(CHUNK + 1):
        await store.open_call(new_call(f"CA{number}", from_number="+12025550143"))
    await store.refuse_call(new_call("CAx"), "unknown_number", '=1+1, "quoted"')
    answer = await client.get("/calls.csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="calls-')
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(lines) == CHUNK + 2
    assert lines[0]["reason"] == '\'=1+1, "quoted"'  # which no spreadsheet reckons
    assert lines[1]["caller"] == "+1 ••• 143"
    assert "+12025550143" not in answer.text
    begun = datetime.fromisoformat(lines[0]["created_at"])
    assert begun.utcoffset() == begun.astimezone(BERLIN).utcoffset() != timedelta()
    assert await noted(store) == [("ann", "list_downloaded", "")]
    refused = await client.get("/calls.csv", params={"status": "refused"})
    assert [line["carrier_call_id"] for line in csv.DictReader(io.StringIO(refused.text))] == ["CAx"]
    none = await client.get("/calls.csv", params={"until": "2020-01-01"})
    assert len(none.text.splitlines()) == 1
    assert (await client.get("/calls.csv", params={"since": "x"})).status_code == 400


async def test_test_calls_are_chosen_by_themselves(
    client: httpx.AsyncClient, store: CallStore, new_call: Callable[..., NewCall]
) -> None:
    await store.open_call(new_call("CA1"))
    await store.open_call(new_call("BR1", carrier="browser", from_number="", account_id="ann", is_test=True))
    for kind, ids in (("", {"CA1": "", "BR1": "yes"}), ("callers", {"CA1": ""}), ("tests", {"BR1": "yes"})):
        answer = await client.get("/calls.csv", params={"kind": kind})
        lines = csv.DictReader(io.StringIO(answer.text))
        assert {line["carrier_call_id"]: line["test"] for line in lines} == ids
