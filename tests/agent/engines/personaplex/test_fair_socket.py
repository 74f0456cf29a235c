"""What the engine's WebSocket takes of uvicorn's inside is there: another uvicorn that has it no more is named here."""

import inspect
from importlib.metadata import version

from starlette.applications import Starlette
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

HELD = (
    "close_sent", "close_timeout", "close_timer", "conn", "handshake_complete", "handshake_initiated", "loop", "queue",
    "read_paused", "transport", "writable",
)  # fmt: skip
"""What its instances hold from the beginning."""

TAKEN_OVER = {
    "connection_made": ["transport"],
    "connection_lost": ["exc"],
    "data_received": ["data"],
    "shutdown": [],
    "stop_keepalive": [],
    "pause_writing": [],
    "resume_writing": [],
    "receive": [],
    "send": ["message"],
    "run_asgi": [],
}


HTTP_HELD = ("cycle", "loop", "transport")


async def test_uvicorn_has_what_the_patient_http_stands_on() -> None:
    protocol = HttpToolsProtocol(Config(Starlette()), ServerState(), {})
    missing = [name for name in HTTP_HELD if not hasattr(protocol, name)]
    if "self.response_complete = " not in inspect.getsource(inspect.getmodule(HttpToolsProtocol)):
        missing.append("response_complete")
    assert not missing, f"uvicorn {version('uvicorn')} has no {', '.join(missing)}: look through patient_http.py"


async def test_uvicorn_has_what_the_fair_socket_stands_on() -> None:
    protocol = WebSocketsSansIOProtocol(Config(Starlette()), ServerState(), {})
    missing = [name for name in HELD if not hasattr(protocol, name)]
    for name, wanted in TAKEN_OVER.items():
        method = getattr(protocol, name, None)
        if method is None or list(inspect.signature(method).parameters) != wanted:
            missing.append(f"{name}({', '.join(wanted)})")
    assert not missing, f"uvicorn {version('uvicorn')} has no {', '.join(missing)}: look through fair_socket.py"
