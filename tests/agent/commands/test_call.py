"""`parley call` as people run it."""

import json
from threading import Thread

import pytest
import soundfile
import uvicorn
from fastapi import FastAPI
from typer.testing import CliRunner

from agent.cli import app
from agent.settings import settings
from telephony.carrier import DialHuman
from telephony.carriers.twilio import TwilioCarrier
from telephony.routes import telephony_router
from telephony.simulator import BadScript
from tests.telephony.line import TOKEN, Handler, tone


@pytest.fixture
def parley(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARLEY_TWILIO_AUTH_TOKEN", TOKEN)
    settings.cache_clear()
    soundfile.write(tmp_path / "hello.wav", tone(300), 8_000)
    yield lambda *args: CliRunner().invoke(app, ["call", *args])
    settings.cache_clear()


def test_recordings_or_a_script_must_be_given(parley):
    assert parley().exit_code == 2
    assert parley("--audio", "hello.wav", "--script", "s.yaml").exit_code == 2
    assert parley("--audio", "hello.wav", "--start-ms", "0", "--start-ms", "5").exit_code == 2


def test_without_a_token_it_says_what_to_set(parley, monkeypatch):
    monkeypatch.delenv("PARLEY_TWILIO_AUTH_TOKEN")
    with pytest.raises(BadScript, match="PARLEY_TWILIO_AUTH_TOKEN"):
        raise parley("--audio", "hello.wav").exception


@pytest.fixture
def server(request):
    """A server that repeats the caller, or hands them to a human at once, in a thread of its own; its origin."""
    app = FastAPI()
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    listening = config.bind_socket()
    listening.listen()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    handler = Handler(answer_is=DialHuman("+15550111", "+15550199")) if getattr(request, "param", "") else Handler()
    app.include_router(telephony_router(TwilioCarrier(url, [TOKEN]), handler, start_timeout_s=1))
    running = uvicorn.Server(config)
    thread = Thread(target=running.run, args=([listening],))
    thread.start()
    yield url
    running.should_exit = True
    thread.join()


def test_a_call_is_reported_and_saved(parley, server, tmp_path):
    args = ("--audio", "hello.wav", "hello.wav", "--start-ms", "60", "--start-ms", "500", "--patience-ms", "0")
    result = parley("--url", server, *args, "--background", "hello.wav", "--json", "--save", "out.wav")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["ended_by"], report["steps"], report["errors"]) == ("caller", ["Connect"], [])
    assert [(line["start_ms"], line["end_ms"]) for line in report["lines"]] == [(60, 360), (500, 800)]
    assert report["saved"] == "out.wav"
    audio, hz = soundfile.read(tmp_path / "out.wav")
    assert (hz, audio.shape) == (8_000, (report["duration_ms"] * 8, 2))


def test_people_get_a_table(parley, server):
    result = parley("--url", server, "--audio", "hello.wav", "--start-ms", "0", "--patience-ms", "0")
    assert result.exit_code == 0
    assert "hello.wav" in result.stdout
    assert "ended by the caller" in result.stdout


@pytest.mark.parametrize("server", ["dials"], indirect=True)
def test_the_human_who_is_called_does_as_told(parley, server):
    result = parley("--url", server, "--audio", "hello.wav", "--patience-ms", "5000", "--human", "busy", "--json")
    report = json.loads(result.stdout)
    assert report["steps"] == ["Dial", "Hangup"]
    assert [(leg["to"], leg["status"]) for leg in report["humans"]] == [("+15550111", "busy")]
    assert parley("--audio", "hello.wav", "--human", "asleep").exit_code == 2
