"""What a span tells, and an engine's side of a gateway's trace."""

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from agent.duplex import RoleCard, RolePrompt
from agent.engines.loopback import LoopbackEngine
from agent.engines.personaplex.server import ServerOptions, create_app
from agent.engines.remote import create
from agent.tracing import chats, spans
from agent.wire.messages import HANDSHAKE
from tests.agent.engines.chat_server import served_app

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for module in (chats, spans):
        monkeypatch.setattr(module, "_tracer", provider.get_tracer("parley"))
    yield exporter
    provider.shutdown()


def only(kept: InMemorySpanExporter) -> ReadableSpan:
    (span,) = kept.get_finished_spans()
    return span


def test_of_an_error_only_its_kind_is_told(kept: InMemorySpanExporter) -> None:
    with pytest.raises(LookupError), spans.span("look up", engine="x"):
        raise LookupError("Ada at +15550142")
    span = only(kept)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "LookupError")
    assert span.attributes == {"parley.engine": "x"}
    assert not span.events


def test_what_is_given_up_has_not_failed(kept: InMemorySpanExporter) -> None:
    with pytest.raises(asyncio.CancelledError), spans.span("look up"):
        raise asyncio.CancelledError
    assert only(kept).status.status_code == StatusCode.UNSET


async def chat(socket: WebSocket) -> None:
    if "full" in socket.query_params:
        await socket.send_denial_response(PlainTextResponse("full", 503))
        return
    await socket.accept()
    await socket.send_bytes(HANDSHAKE)
    await socket.send_bytes(b"\x01")
    await socket.close(1008)


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = Starlette(routes=[WebSocketRoute("/api/chat", chat)])
    app.add_middleware(chats.TracedChats)
    with TestClient(app) as client:
        yield client


def test_a_chat_is_part_of_its_gateways_trace(kept: InMemorySpanExporter, client: TestClient) -> None:
    with client.websocket_connect("/api/chat", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}) as socket:
        assert [socket.receive_bytes(), socket.receive_bytes()] == [HANDSHAKE, b"\x01"]
    span = only(kept)
    assert span.context
    assert span.parent
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert [event.name for event in span.events] == ["ready"]
    assert span.attributes == {"parley.close_code": 1008}


def test_a_refused_chat_tells_its_status(kept: InMemorySpanExporter, client: TestClient) -> None:
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/api/chat?full"):
        pass
    assert only(kept).attributes == {"http.response.status_code": 503}


async def test_a_call_on_another_process_is_traced_there(kept: InMemorySpanExporter) -> None:
    app = create_app(LoopbackEngine(1, 0), lambda: ["NATF2"], ServerOptions())
    app.add_middleware(chats.TracedChats)
    role = RolePrompt("You are Ann.", "NATF2", RoleCard("Ann", "Acme", "", "", "", "", "", ""))
    async with served_app(app) as address:
        engine = create({"engine_url": f"ws://{address}"})
        await engine.start()
        with spans.span("open session"):
            session = await engine.open(role)
        await session.ready()
        await engine.close()
    there, here = sorted(kept.get_finished_spans(), key=lambda span: span.name)
    assert (there.name, here.name) == ("chat", "open session")
    assert there.parent
    assert here.context
    assert (there.parent.trace_id, there.parent.span_id) == (here.context.trace_id, here.context.span_id)
