"""The traces of phone calls, as a collector gets them from `parley serve`."""

import asyncio
import shutil
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from telephony.simulator import Phone
from tests.agent.exchange import NOBODYS_NUMBER, NUMBER, TOKEN
from tests.journeys.test_call import caller, server_process

ADA = "+15550142"


class Elsewhere(ThreadingHTTPServer):
    """A collector, and a company's records that are out of order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.bodies: list[bytes] = []
        self.asked_in: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self) -> list[Span]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        scopes = [scope for request in requests for each in request.resource_spans for scope in each.scope_spans]
        return [span for scope in scopes for span in scope.spans]


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Elsewhere)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.server.bodies.append(body)
        else:
            self.server.asked_in.append(self.headers["traceparent"])
        self.send_response(200 if self.path == "/v1/traces" else 500)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of it."""


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


async def test_a_phone_call_is_one_trace(tmp_path: Path, furnished: Path, elsewhere: Elsewhere) -> None:
    shutil.copyfile(furnished, tmp_path / "parley.db")
    told = {"PARLEY_OTLP_ENDPOINT": elsewhere.url, "PARLEY_CUSTOMER_URL": f"{elsewhere.url}/callers"}
    told |= {"PARLEY_CUSTOMER_TIMEOUT_MS": "3000"}  # what is answered, not how soon
    async with server_process(tmp_path, **told) as (process, url, _):
        phone = Phone(url, TOKEN)
        result = await phone.call(caller(1), to_number=NUMBER, from_number=ADA)
        refused = await phone.call(caller(1), to_number=NOBODYS_NUMBER, from_number=ADA)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0

    by_call = {call_id: _of(elsewhere.spans, call_id) for call_id in (result.call_id, refused.call_id)}
    (trace_id,) = {span.trace_id for span in by_call[result.call_id]}
    assert {span.trace_id for span in by_call[refused.call_id]} != {trace_id}
    ours = {span.name: span for span in elsewhere.spans if span.trace_id == trace_id}
    assert set(ours) == {"answer", "look up caller", "open session", "media", "what next"}
    assert ours["open session"].parent_span_id == ours["answer"].span_id
    assert _attributes(ours["answer"])["parley.instruction"] == "ConnectStream"
    media = _attributes(ours["media"])
    assert media["parley.outcome"] == "caller_hung_up"
    assert media["parley.persona"] == "acme-help"

    lookup = ours["look up caller"]
    assert (lookup.status.code, lookup.status.message) == (Status.STATUS_CODE_ERROR, "LookupFailed")
    assert elsewhere.asked_in[0].split("-")[1:3] == [trace_id.hex(), lookup.span_id.hex()]
    assert not any(number.lstrip("+").encode() in body for number in (ADA, NUMBER) for body in elsewhere.bodies)


def _of(spans: list[Span], call_id: str) -> list[Span]:
    return [span for span in spans if _attributes(span).get("parley.carrier_call_id") == call_id]


def _attributes(span: Span) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}
