"""One simulated call: fetches documents and does what they say until it is over.

document ─▶ verb ─┬─ Connect ─▶ media stream      Dial, Enqueue ─▶ a human, or a room
                  └─ Say, Play, Pause, Record     its action ─▶ the next document
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import numpy as np

from telephony.media import PHONE
from telephony.simulator import twiml
from telephony.simulator.callers import PACKET_SAMPLES, SILENCE, Act, Caller, Pcm8k
from telephony.simulator.errors import CallFailed
from telephony.simulator.hearing import AgentEar
from telephony.simulator.result import CallResult, HumanLeg, PhoneError, SpokenLine, StreamResult, with_delays
from telephony.simulator.signing import new_sid
from telephony.simulator.stream import StreamOffer, stream

if TYPE_CHECKING:
    from telephony.simulator.phone import Phone

WEBHOOK_TIMEOUT_S = 15.0  # Twilio's
_MAX_DOCUMENTS = 60
_LOUD = 300
_WAV_HEADER_BYTES = 58
_FOREVER_S = 3_600.0


@dataclass(slots=True)
class PhoneCall:
    """A caller on the line. ``clock_ms`` is the call's age; ``moved_to`` a document it was taken to from outside."""

    phone: "Phone"
    http: httpx.AsyncClient
    caller: Caller
    from_number: str
    to_number: str
    max_s: float
    call_id: str = field(default_factory=lambda: new_sid("CA"))
    ear: AgentEar = field(default_factory=AgentEar)
    clock_ms: int = 0
    moved_to: str = ""
    ended_by: str = "agent"
    steps: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    errors: list[PhoneError] = field(default_factory=list)
    streams: list[StreamResult] = field(default_factory=list)
    humans: list[HumanLeg] = field(default_factory=list)
    message: list[Pcm8k] = field(default_factory=list)

    async def fetch(self, url: str, status: str, **fields: str) -> tuple[twiml.Verb, ...]:
        """POST a webhook and return the verbs it answers with; raises CallFailed."""
        form = self.phone.form(self.call_id, self.from_number, self.to_number, status) | fields
        return await fetch(self.phone, self.http, url, form)

    async def follow(self, verbs: tuple[twiml.Verb, ...]) -> None:
        """Do what the documents say until the call is over."""
        for _ in range(_MAX_DOCUMENTS):
            url, fields = await self._next_document(verbs)
            if self.moved_to and self.ended_by != "caller":
                url, fields, self.moved_to = self.moved_to, {}, ""
            if not url:
                return
            status = "completed" if self.ended_by == "caller" else "in-progress"
            try:
                verbs = await self.fetch(url, status, **fields)
            except CallFailed as error:
                self.errors.append(_as_error(error))
                return
            if status == "completed":
                return
        self.errors.append(PhoneError(0, f"the call was sent through more than {_MAX_DOCUMENTS} documents"))

    def result(self) -> CallResult:
        errors = [*self.errors, *(error for one in self.streams for error in one.errors)]
        spurts = self.ear.spurts()
        return CallResult(
            call_id=self.call_id,
            ended_by=self.ended_by,
            steps=tuple(self.steps),
            sentences=tuple(self.sentences),
            errors=tuple(errors),
            lines=with_delays(self.caller.lines(), spurts),
            agent_spurts=spurts,
            streams=tuple(self.streams),
            humans=tuple(self.humans),
            message=np.concatenate([np.zeros(0, np.int16), *self.message]),
        )

    async def _next_document(self, verbs: tuple[twiml.Verb, ...]) -> tuple[str, dict[str, str]]:
        """Follow one document; return the URL of the next with what is posted there, "" when the call is over."""
        for verb in verbs:
            self.steps.append(verb.name if isinstance(verb, twiml.OtherVerb) else type(verb).__name__)
            match verb:
                case twiml.Redirect(url):
                    return url, {}
                case twiml.Say(text):
                    self.sentences.append(text)
                case twiml.Hangup():
                    return "", {}
                case _:
                    followed = await self._do(verb)
                    if followed is not None:
                        return followed
            if self.moved_to or self.ended_by == "caller":
                return "", {}
        return "", {}

    async def _do(self, verb: twiml.Verb) -> tuple[str, dict[str, str]] | None:
        """Do a verb that takes time; return what is asked after it, None to go on with the document."""
        match verb:
            case twiml.Connect():
                await self._stream(self.phone.offer(verb, self.call_id))
                return (verb.action_url, {}) if verb.action_url or self.ended_by == "caller" else None
            case twiml.Pause(length_s):
                await self.elapse(length_s)
            case twiml.Play(url):
                await self.elapse(await self._sound_s(url))
            case twiml.Dial() if verb.room:
                return verb.action_url, {"DialCallStatus": await self._stay_in_room(verb)}
            case twiml.Dial():
                return verb.action_url, {"DialCallStatus": await self._dial(verb)}
            case twiml.Enqueue(_, action_url):
                return action_url, {"QueueResult": await self._queue()}
            case twiml.Record():
                return await self._record(verb)
        return None

    async def _stream(self, offer: StreamOffer) -> None:
        until_ms = self.max_s * 1000
        caller = _Movable(self)
        done = await stream(offer, caller, self.ear, begin_ms=self.clock_ms, until_ms=until_ms)
        self.streams.append(done)
        self.clock_ms += done.duration_ms
        self.ended_by = "agent" if self.moved_to else done.ended_by

    async def elapse(self, seconds: float, until: asyncio.Event | None = None, keep: list[Pcm8k] | None = None) -> bool:
        """Let the caller be on the line, hearing no agent; False if they hung up, were moved, or ``until`` was set.

        What they say goes into ``keep``.
        """
        loop = asyncio.get_running_loop()
        packet_s = PHONE.packet_ms / 1000 / self.phone.hold_speed
        begin_s, ticks = loop.time(), round(seconds * 1000 / PHONE.packet_ms)
        for tick in range(ticks):
            act = self.caller.tick(self.clock_ms, self.ear)
            if act.hang_up or self.clock_ms >= self.max_s * 1000:
                self.ended_by = "caller"
            if self.ended_by == "caller" or self.moved_to or (until and until.is_set()):
                return False
            if keep is not None:
                keep.append(act.pcm)
            self.ear.hear(self.clock_ms, SILENCE)
            self.clock_ms += PHONE.packet_ms
            await asyncio.sleep(begin_s + (tick + 1) * packet_s - loop.time())
        return True

    async def _dial(self, verb: twiml.Dial) -> str:
        """Ring a human; return the DialCallStatus."""
        human = self.phone.human
        status = "no-answer" if human.after_s > verb.timeout_s else human.dial_status
        if not await self.elapse(min(human.after_s, verb.timeout_s)):
            status = "canceled"  # their leg rings no more
        elif status == "completed":
            await self.elapse(human.talks_s)
        self.humans.append(HumanLeg(verb.number, verb.caller_id, status))
        return status

    async def _queue(self) -> str:
        human = self.phone.human
        waits_s = _FOREVER_S if human.does == "no-answer" else human.after_s
        if not await self.elapse(waits_s):
            return "redirected" if self.moved_to else "hangup"
        if human.does == "answers":
            await self.elapse(human.talks_s)
        return human.queue_result

    async def _stay_in_room(self, verb: twiml.Dial) -> str:
        """Hear music, then a human, until either leaves; return the DialCallStatus."""
        room = self.phone.company.room(verb.room)
        await self.elapse(_FOREVER_S, until=room.over)
        if verb.ends_room:
            room.over.set()
        return "answered"

    async def _record(self, verb: twiml.Record) -> tuple[str, dict[str, str]] | None:
        """Record until the caller hangs up or says nothing for a while."""
        said: list[Pcm8k] = []
        quiet = round(verb.silence_s * 1000 / PHONE.packet_ms)
        while len(said) * PHONE.packet_ms < verb.max_s * 1000:
            if not await self.elapse(PHONE.packet_ms / 1000, keep=said):
                break
            if len(said) >= quiet and not _is_loud(said[-quiet:]):
                break
        if not _is_loud(said):
            return None
        self.message += said
        recording = {
            "RecordingSid": new_sid("RE"),
            "RecordingUrl": f"https://api.twilio.com/2010-04-01/Recordings/{new_sid('RE')}",
            "RecordingDuration": str(len(said) * PHONE.packet_ms // 1000),
        }
        if verb.status_url:
            await self.fetch(verb.status_url, "completed", RecordingStatus="completed", **recording)
        return verb.action_url, recording

    async def _sound_s(self, url: str) -> float:
        """Fetch a sound as the carrier does; return how long it is."""
        answer = await self.http.get(self.phone.reach(url))
        if answer.status_code != 200 or not answer.headers.get("content-type", "").startswith("audio/"):
            self.errors.append(PhoneError(11200, "a sound to play could not be fetched", self.clock_ms))
            return 0.0
        return (len(answer.content) - _WAV_HEADER_BYTES) / PHONE.sample_hz  # 8 kHz µ-law is a byte a sample


async def fetch(phone: "Phone", http: httpx.AsyncClient, url: str, form: dict[str, str]) -> tuple[twiml.Verb, ...]:
    """POST a signed webhook and return the verbs it answers with; raises CallFailed."""
    try:
        answer = await http.post(phone.reach(url), data=form, headers=phone.headers(url, form))
    except httpx.TimeoutException:
        raise CallFailed("11205: the server did not answer the webhook within 15 s.") from None
    except httpx.HTTPError as error:
        raise CallFailed(f"11205: the server could not be reached at {phone.reach(url)} ({error}).") from None
    if answer.status_code != 200:
        raise CallFailed(f"11200: the server answered HTTP {answer.status_code}: {answer.text[:200].strip()}")
    if "xml" not in answer.headers.get("content-type", ""):
        raise CallFailed("12300: the server's answer is not XML by its Content-Type.")
    return twiml.parse(answer.content)


@dataclass(frozen=True, slots=True)
class _Movable:
    """The caller in a stream, which ends when the call is taken elsewhere."""

    call: PhoneCall

    def tick(self, at_ms: int, ear: AgentEar) -> Act:
        return Act(hang_up=True) if self.call.moved_to else self.call.caller.tick(at_ms, ear)

    def lines(self) -> tuple[SpokenLine, ...]:
        return self.call.caller.lines()


def _is_loud(packets: list[Pcm8k]) -> bool:
    return any(int(np.abs(pcm[:PACKET_SAMPLES]).max(initial=0)) > _LOUD for pcm in packets)


def _as_error(error: CallFailed) -> PhoneError:
    code, _, text = str(error).partition(": ")
    return PhoneError(int(code), text) if code.isdigit() else PhoneError(0, str(error))
