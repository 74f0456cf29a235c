"""The phone company behind the simulated phones: Twilio's REST API for calls, on a port of its own.

server ── POST …/Calls/CA….json ─▶ a caller is moved, a leg ended
       └─ POST …/Calls.json ─────▶ a human is called: briefed, asked, and put into the room with the caller
"""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from telephony.simulator import twiml
from telephony.simulator.errors import CallFailed
from telephony.simulator.humans import Room
from telephony.simulator.phone_call import WEBHOOK_TIMEOUT_S, PhoneCall, fetch
from telephony.simulator.result import HumanLeg
from telephony.simulator.signing import new_sid

if TYPE_CHECKING:
    from telephony.simulator.phone import Phone

_MAX_DOCUMENTS = 10
_FOREVER_S = 3_600.0


@dataclass(slots=True)
class Leg:
    """A call to a human, made through the API."""

    to: str
    from_number: str
    answer_url: str
    status_url: str
    timeout_s: float
    call_id: str = field(default_factory=lambda: new_sid("CA"))
    status: str = "ringing"
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    heard: list[str] = field(default_factory=list)
    room: Room | None = None

    def hang_up(self) -> None:
        self.hung_up.set()
        if self.room:
            self.room.over.set()


class PhoneCompany:
    """Live calls, rooms and humans' legs of some phones; ``serving`` opens its API."""

    def __init__(self, auth_token: str) -> None:
        self._auth_token = auth_token
        self._calls: dict[str, PhoneCall] = {}
        self._rooms: dict[str, Room] = {}
        self.legs: list[Leg] = []
        self.requests: list[str] = []
        self._group: asyncio.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve the API for the length of the block; yield its origin."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config = uvicorn.Config(self._api(), log_config=None, lifespan="off", timeout_graceful_shutdown=1)
            server = _Server(config)
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(server.serve(sockets=[listening]))
                try:
                    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
                finally:
                    server.should_exit = True
                    for leg in self.legs:
                        leg.hang_up()

    @contextlib.contextmanager
    def carrying(self, call: PhoneCall) -> Iterator[None]:
        """Know a caller's call for the length of the block."""
        self._calls[call.call_id] = call
        try:
            yield
        finally:
            del self._calls[call.call_id]

    def room(self, name: str) -> Room:
        """Return a conference by its name."""
        return self._rooms.setdefault(name, Room())

    def _api(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.post("/2010-04-01/Accounts/{account}/Calls.json")
        async def create(account: str, request: Request) -> JSONResponse:
            form = {name: str(value) for name, value in (await request.form()).items()}
            return self._refusal(account, request) or self._create(form)

        @app.post("/2010-04-01/Accounts/{account}/Calls/{call_id}.json")
        async def update(account: str, call_id: str, request: Request) -> JSONResponse:
            form = {name: str(value) for name, value in (await request.form()).items()}
            return self._refusal(account, request) or self._update(call_id, form)

        return app

    def _refusal(self, account: str, request: Request) -> JSONResponse | None:
        user = base64.b64encode(f"{account}:{self._auth_token}".encode()).decode()
        if request.headers.get("authorization") == f"Basic {user}":
            return None
        return JSONResponse({"code": 20003, "message": "Authenticate", "status": 401}, 401)

    def _create(self, form: dict[str, str]) -> JSONResponse:
        self.requests.append("create")
        try:
            leg = Leg(form["To"], form["From"], form["Url"], form.get("StatusCallback", ""), float(form["Timeout"]))
        except (KeyError, ValueError):
            return JSONResponse({"code": 21201, "message": "No 'To' number is specified", "status": 400}, 400)
        phone = next((call.phone for call in self._calls.values()), None)
        if phone is None or self._group is None:
            return JSONResponse({"code": 20404, "message": "There is nobody on the line", "status": 404}, 404)
        self.legs.append(leg)
        self._group.create_task(self._live(phone, leg))
        return JSONResponse({"sid": leg.call_id, "status": "queued"}, 201)

    def _update(self, call_id: str, form: dict[str, str]) -> JSONResponse:
        self.requests.append("hang up" if form.get("Status") == "completed" else "move")
        leg = next((leg for leg in self.legs if leg.call_id == call_id), None)
        call = self._calls.get(call_id)
        if leg and not leg.hung_up.is_set() and form.get("Status") == "completed":
            leg.hang_up()
        elif call and form.get("Url"):
            call.moved_to = form["Url"]
        elif call and form.get("Status") == "completed":
            call.ended_by = "caller"
        else:
            return JSONResponse({"code": 20404, "message": "The call is not live", "status": 404}, 404)
        return JSONResponse({"sid": call_id, "status": "in-progress"})

    async def _live(self, phone: "Phone", leg: Leg) -> None:
        """The life of a human's leg: rings, hears the briefing, presses a key, talks, hangs up."""
        human = phone.human
        async with httpx.AsyncClient(timeout=WEBHOOK_TIMEOUT_S, trust_env=False) as http:
            try:
                async with asyncio.timeout(min(human.after_s, leg.timeout_s) / phone.hold_speed):
                    await leg.hung_up.wait()
                leg.status = "canceled"
            except TimeoutError:
                leg.status = "in-progress" if human.does in ("answers", "declines") else human.does
            try:
                if leg.status == "in-progress":
                    await self._talk(phone, http, leg)
                    leg.status = "completed"
                if leg.status_url:
                    await fetch(phone, http, leg.status_url, self._form(phone, leg))
            except CallFailed as error:
                leg.heard.append(str(error))

    async def _talk(self, phone: "Phone", http: httpx.AsyncClient, leg: Leg) -> None:
        verbs = await fetch(phone, http, leg.answer_url, self._form(phone, leg))
        for _ in range(_MAX_DOCUMENTS):
            verb = next((verb for verb in verbs if not self._says(leg, verb)), twiml.Hangup())
            match verb:
                case twiml.Gather(action_url) if phone.human.does == "answers" and not leg.hung_up.is_set():
                    verbs = await fetch(phone, http, action_url, self._form(phone, leg) | {"Digits": "1"})
                case twiml.Dial(room=name):
                    return await self._stay(phone, leg, self.room(name))
                case _:
                    return None
        return None

    def _says(self, leg: Leg, verb: twiml.Verb) -> bool:
        if isinstance(verb, twiml.Say | twiml.Gather):
            leg.heard.append(verb.text)
        return isinstance(verb, twiml.Say)

    async def _stay(self, phone: "Phone", leg: Leg, room: Room) -> None:
        """Talk in a room until the human has had enough, the caller leaves, or the call is ended from outside."""
        leg.room = room
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(phone.human.talks_s / phone.hold_speed):
                await room.over.wait()
        room.over.set()

    def _form(self, phone: "Phone", leg: Leg) -> dict[str, str]:
        return phone.form(leg.call_id, leg.from_number, leg.to, leg.status) | {"Direction": "outbound-api"}

    def human_legs(self) -> tuple[HumanLeg, ...]:
        """Return the legs so far, as results show them."""
        return tuple(HumanLeg(leg.to, leg.from_number, leg.status, tuple(leg.heard)) for leg in self.legs)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
