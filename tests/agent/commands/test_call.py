"""`parley call` as people run it."""

import pytest
import soundfile
from typer.testing import CliRunner

from agent.cli import app
from agent.settings import settings
from telephony.simulator import BadScript
from tests.telephony.line import TOKEN, tone


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
