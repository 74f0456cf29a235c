"""The console's pages and downloads as a user reaches them: signed in, by address or form, to the last byte."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
from sqlalchemy import Select, func, select

from agent.bench.console.history import DAYS
from agent.bench.gateway.processes import BenchFailed
from crm.tables import CallRow
from personas.db import Database

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class Page:
    """An address, or a form to be sent to it; ``file`` marks one that holds every call."""

    name: str
    path: str
    form: Mapping[str, str] = field(default_factory=dict)
    file: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """One reading of a page, in milliseconds and bytes."""

    first_byte_ms: float
    whole_ms: float
    size_bytes: int


class Visitor:
    """A browser that is signed in, as far as an address is concerned."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=_LONGEST_S, headers={"Accept": "text/html"})
        self._token = ""

    async def sign_in(self, name: str, password: str) -> None:
        """Sign in by the form.

        Raises:
            BenchFailed: the server does not let us in.
        """
        form = await self._client.get("/login")
        token = _TOKEN.search(form.text)
        values = {"name": name, "password": password, "csrf_token": token[1] if token else ""}
        answer = await self._client.post("/login", data=values)
        if answer.status_code != 303:
            raise BenchFailed(f"The console did not let the bench sign in (status {answer.status_code}).")
        inside = _TOKEN.search((await self._client.get("/calls")).text)
        self._token = inside[1] if inside else ""

    async def load(self, page: Page) -> Loaded:
        """Load a page and throw it away.

        Raises:
            BenchFailed: the answer is an error.
        """
        method, data = ("POST", dict(page.form) | {"csrf_token": self._token}) if page.form else ("GET", None)
        begin_s, first_s, size = time.perf_counter(), 0.0, 0
        async with self._client.stream(method, page.path, data=data) as answer:
            async for piece in answer.aiter_raw():
                first_s = first_s or time.perf_counter()
                size += len(piece)
        end_s = time.perf_counter()
        if answer.status_code >= 400:
            raise BenchFailed(f"The page {page.name!r} answered with status {answer.status_code}.")
        return Loaded(1000 * ((first_s or end_s) - begin_s), 1000 * (end_s - begin_s), size)

    async def close(self) -> None:
        """Forget everything."""
        await self._client.aclose()


async def pages(database: Database) -> list[Page]:
    """Return every page that shows many calls, or one, of a filled database."""
    calls = (await _first(database, select(func.count()).select_from(CallRow)))[0]
    busiest = select(CallRow.persona_slug).where(CallRow.persona_slug.is_not(None)).group_by(CallRow.persona_slug)
    (slug,) = await _first(database, busiest.order_by(func.count().desc()))
    most = select(CallRow.from_number).where(CallRow.from_number != "").group_by(CallRow.from_number)
    (caller,) = await _first(database, most.order_by(func.count().desc(), CallRow.from_number))
    (of_caller,) = await _first(database, select(CallRow.id).where(CallRow.from_number == caller))
    ended = select(CallRow.id, CallRow.carrier_call_id).where(CallRow.status == "ended").offset(calls // 3)
    ended_id, carrier_id = await _first(database, ended.order_by(CallRow.created_at.desc()))
    lists = [
        Page("list", "/calls"),
        Page("list, half way down", f"/calls?{await _cursor(database, calls // 2)}"),
        Page("list, last page", f"/calls?{await _cursor(database, calls - 20)}"),
        Page("live now", "/calls?status=live"),
        *(_chosen(f"list, {what}", **chosen) for what, chosen in _choices(slug).items()),
        _chosen("list, one caller", caller_of=of_caller),
        Page("find by number", "/calls/search", {"sought": caller}),
        Page("find by id", "/calls/search", {"sought": ended_id}),
        Page("find by carrier's id", "/calls/search", {"sought": carrier_id}),
        Page("call", f"/calls/{ended_id}"),
        Page("call's state", f"/calls/{ended_id}/status?seen=ended"),
    ]
    overviews = [
        Page("overview, today", f"/overview?since={_day(0)}"),
        *(Page(f"overview, {days} days", f"/overview?since={_day(days - 1)}") for days in (7, 30, DAYS)),
        Page("overview, everything", "/overview?since=2001-01-01"),
        Page("overview, one persona", f"/overview?{urlencode({'since': _day(DAYS), 'persona': slug})}"),
    ]
    others = [
        Page("personas", "/personas"),
        Page("persona", f"/personas/{slug}"),
        Page("numbers", "/numbers"),
        Page("customers", "/customers"),
        Page("audit", "/audit"),
        Page("users", "/users"),
        Page("CSV of a day", f"/calls.csv?since={_day(8)}&until={_day(8)}", file=True),
        Page("CSV of everything", "/calls.csv", file=True),
    ]
    return [*lists, *overviews, *others]


def _choices(slug: str) -> Mapping[str, Mapping[str, str]]:
    day = _day(40)
    return {
        "a persona": {"persona": slug},
        "ended": {"status": "ended"},
        "refused": {"status": "refused"},
        "an ending": {"outcome": "transferred"},
        "a rare ending": {"outcome": "agent_mute"},
        "an ending that none had": {"outcome": "stream_failed"},
        "tests": {"kind": "tests"},
        "callers": {"kind": "callers"},
        "a day": {"since": day, "until": day},
        "persona and rare ending": {"persona": slug, "outcome": "agent_mute", "kind": "callers"},
        "persona, ending and days": {"persona": slug, "outcome": "transferred", "since": _day(60), "until": day},
    }


def _chosen(name: str, **chosen: str) -> Page:
    return Page(name, f"/calls?{urlencode(chosen)}")


def _day(ago: int) -> str:
    return (datetime.now(UTC).date() - timedelta(ago)).isoformat()


async def _cursor(database: Database, place: int) -> str:
    """Return the part of an address that leads to the page after the call at ``place``."""
    query = select(CallRow.created_at, CallRow.id).order_by(CallRow.created_at.desc(), CallRow.id.desc())
    at, call_id = await _first(database, query.offset(place))
    return urlencode({"cursor": f"{at.isoformat()}_{call_id}"})


async def _first(database: Database, query: Select[*tuple[Any, ...]]) -> Sequence[Any]:
    async with database.session() as session:
        return (await session.execute(query.limit(1))).one()
